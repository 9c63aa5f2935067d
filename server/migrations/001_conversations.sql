CREATE TABLE conversations (
  id          TEXT PRIMARY KEY,
  title       TEXT NOT NULL,
  renamed     INTEGER NOT NULL DEFAULT 0,
  created_at  INTEGER NOT NULL,
  updated_at  INTEGER NOT NULL,
  active_leaf TEXT
) STRICT;
CREATE INDEX conversations_by_update ON conversations (updated_at DESC);

CREATE TABLE messages (
  id              TEXT PRIMARY KEY,
  conversation_id TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
  parent          TEXT REFERENCES messages (id) ON DELETE CASCADE,
  role            TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
  parts           TEXT NOT NULL,
  text            TEXT NOT NULL,
  state           TEXT NOT NULL CHECK (state IN ('generating', 'done', 'stopped', 'failed')),
  error           TEXT,
  details         TEXT,
  created_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX messages_by_conversation ON messages (conversation_id, id);
CREATE INDEX messages_by_parent ON messages (parent);
CREATE INDEX messages_generating ON messages (state) WHERE state = 'generating';

CREATE TABLE blobs (
  hash       TEXT PRIMARY KEY,
  mime       TEXT NOT NULL,
  bytes      INTEGER NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE message_blobs (
  message_id TEXT NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
  hash       TEXT NOT NULL,
  PRIMARY KEY (message_id, hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX message_blobs_by_hash ON message_blobs (hash);
