#!/usr/bin/env bash
# The live tests beside real Python services: tests/python/run.sh path/to/tertulia. Makes a virtual
# environment once (in target/python, or where TERTULIA_PYTHON says), and anew when
# requirements.txt changed. The project is kept in SQLite, and in PostgreSQL: that of
# TERTULIA_TEST_POSTGRES, such as postgres://postgres@127.0.0.1:5432, else a server of its own.
set -euo pipefail
binary=$(realpath "${1:?name the binary}")
cd "$(dirname "$0")"
export PYTHONDONTWRITEBYTECODE=1

environment=${TERTULIA_PYTHON:-../../target/python}
if ! cmp -s requirements.txt "$environment/made-of.txt"; then
  rm -rf "$environment"
  python3 -m venv "$environment"
  "$environment/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt
  cp requirements.txt "$environment/made-of.txt"
fi
python=$(realpath -s "$environment/bin/python3")

# PostgreSQL doesn't run as root.
as_postgres() {
  if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

postgres=${TERTULIA_TEST_POSTGRES:-}
if [ -z "$postgres" ]; then
  bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
  [ -n "$bin" ] || { echo "no PostgreSQL: install it, or name one in TERTULIA_TEST_POSTGRES" >&2; exit 1; }
  place=$(mktemp -d)
  chmod 755 "$place"
  [ "$(id -u)" != 0 ] || chown postgres "$place"
  port=$("$python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
  as_postgres "$bin/initdb" -D "$place/data" -A trust -U postgres >"$place.log"
  trap 'as_postgres "$bin/pg_ctl" -D "$place/data" -m immediate stop >/dev/null; rm -rf "$place" "$place.log"' EXIT
  as_postgres "$bin/pg_ctl" -D "$place/data" -l "$place/log" -w start >"$place.log" \
    -o "-p $port -k $place -c listen_addresses=127.0.0.1"
  postgres=postgres://postgres@127.0.0.1:$port
fi

# All at once: they wait more than they work.
stories=()
for project in sqlite "$postgres"; do
  "$python" django_live.py "$binary" "$project" & stories+=($!)
done
"$python" channels_live.py "$binary" & stories+=($!)
failed=0
for story in "${stories[@]}"; do wait "$story" || failed=1; done
exit "$failed"
