# What stands before the commands of a page of the book.
set -eu

# The block that a failure ended; `at` is set before each.
at=0
trap 'status=$?; [ "$status" = 0 ] || echo "status $status in the block of line $at" >&2' EXIT

# A server stays, as it would in a terminal of its own, and the next command finds it ready. The next server takes its place.
jnana() {
  if [ "$1" != serve ]; then
    command jnana "$@"
    return
  fi
  if [ -n "${server:-}" ]; then
    kill "$server"
    wait "$server" || :
  fi
  : >"$HOME/server.log"
  command jnana "$@" 2>"$HOME/server.log" &
  server=$!
  until grep -q '^Jnana is ready on ' "$HOME/server.log"; do
    kill -0 "$server" || { cat "$HOME/server.log"; exit 1; }
    sleep 0.1
  done
}
