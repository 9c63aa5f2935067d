//! Speech into text with Whisper.
