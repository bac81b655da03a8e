#!/usr/bin/env bash
# Two nodes of Tertulia behind nginx, with PostgreSQL and Redis: all on this machine, from Debian's packages, with one
# command and without containers. Everything is kept in one directory; Ctrl-C stops it, the next start goes on with it.
#
#   examples/two-nodes.sh [--check] [PROGRAM [DIRECTORY]]
#
# PROGRAM is target/release/tertulia if not given, DIRECTORY ./two-nodes. With --check it tries out what it has started, in a
# directory that is removed, and ends.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

check=
if [ "${1:-}" = --check ]; then check=yes; shift; fi
program=$(realpath "${1:-$here/../target/release/tertulia}")
[ -x "$program" ] || { echo "no program at $program: cargo build --release" >&2; exit 1; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
# PostgreSQL refuses to be root's.
as_postgres() { if [ "$(id -u)" = 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi; }

packages=()
command -v redis-server >/dev/null || packages+=(redis-server)
command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || packages+=(nginx-light)
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || packages+=(postgresql)
if [ ${#packages[@]} -gt 0 ]; then
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi
postgres=$(dirname "$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V | tail -1)")
PATH=$PATH:/usr/sbin

if [ -n "$check" ]; then
  place=$(mktemp -d)
  # Others may run on this machine: ports that are free now.
  read -r port_nginx port_one port_two port_postgres port_redis < <(python3 - <<'PYTHON'
import socket
sockets = [socket.socket() for _ in range(5)]
for each in sockets:
    each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in sockets))
PYTHON
  )
else
  place=${2:-two-nodes}
  mkdir -p "$place"
  place=$(realpath "$place")
  port_nginx=8000 port_one=8001 port_two=8002 port_postgres=8432 port_redis=8379
fi
chmod 755 "$place"
mkdir -p "$place"/{one,two,nginx,redis,uploads}

children=()
stop() {
  trap - EXIT INT TERM
  # Nodes first: they close their sockets and finish what they were asked.
  for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
  wait "${children[@]}" 2>/dev/null || true
  as_postgres "$postgres/pg_ctl" -D "$place/postgres/data" -m fast stop >/dev/null 2>&1 || true
  [ -z "$check" ] || rm -rf "$place"
}
trap stop EXIT
trap 'exit 130' INT TERM

if [ ! -d "$place/postgres" ]; then
  mkdir "$place/postgres"
  [ "$(id -u)" != 0 ] || chown postgres "$place/postgres"
  as_postgres "$postgres/initdb" -D "$place/postgres/data" -U tertulia --auth=trust -E UTF8 --locale=C.UTF-8 >/dev/null
fi
as_postgres "$postgres/pg_ctl" -D "$place/postgres/data" -w -l "$place/postgres/log" start >/dev/null \
  -o "-p $port_postgres -k '$place/postgres' -c listen_addresses=127.0.0.1"

# Nothing in Redis must outlive it: what nodes hold in common there expires, and messages are in the database.
redis-server --port "$port_redis" --bind 127.0.0.1 --dir "$place/redis" --save '' --appendonly no \
  --logfile "$place/redis/log" & children+=($!)

# One key for both nodes, so that each takes the other's tokens.
[ -s "$place/secret" ] || (umask 077 && head -c 48 /dev/urandom | base64 -w0 >"$place/secret")

node() { # NAME PORT
  TERTULIA_DATA_DIR=$place/$1 TERTULIA_UPLOADS_DIR=$place/uploads TERTULIA_SECRET_KEY_FILE=$place/secret \
    TERTULIA_DATABASE_URL=postgres://tertulia@127.0.0.1:$port_postgres/postgres \
    TERTULIA_LAYER_URL=redis://127.0.0.1:$port_redis/0 \
    TERTULIA_BIND=127.0.0.1:$2 TERTULIA_TRUSTED_PROXIES=127.0.0.1 \
    "$program" serve 2>"$place/$1/log" & children+=($!)
}
node one "$port_one"
node two "$port_two"

sed -e "s/127.0.0.1:8000/127.0.0.1:$port_nginx/" -e "s/127.0.0.1:8001/127.0.0.1:$port_one/" \
  -e "s/127.0.0.1:8002/127.0.0.1:$port_two/" "$here/nginx.conf" >"$place/nginx/nginx.conf"
# Started by root, its workers would be somebody else who may not read here.
[ "$(id -u)" != 0 ] || sed -i '1i user root;' "$place/nginx/nginx.conf"
nginx -p "$place/nginx" -c "$place/nginx/nginx.conf" -g 'daemon off;' 2>"$place/nginx/log" & children+=($!)

is_ready() { curl -sf -o /dev/null "http://127.0.0.1:$1/readyz"; }
for port in "$port_one" "$port_two" "$port_nginx"; do
  for try in $(seq 300); do
    if is_ready "$port"; then continue 2; fi
    sleep 0.1
  done
  echo "nothing is ready at port $port:" >&2
  tail -n 20 "$place"/*/log >&2
  exit 1
done

if [ -z "$check" ]; then
  echo "Tertulia is at http://127.0.0.1:$port_nginx/ (its nodes at ports $port_one and $port_two; logs in $place/*/log)."
  echo "Ctrl-C stops everything."
  wait -n "${children[@]}"
  echo "one of them has ended, so all do: see $place/*/log" >&2
  exit 1
fi

# What is said at one node is heard at the other, by way of nginx too.
api() { curl -sf "http://127.0.0.1:$1/api/$2" "${@:3}"; }
api "$port_nginx" users/ --json '{"username": "anna", "password": "correct horse 7"}' >/dev/null
token=$(api "$port_one" token/ --json '{"username": "anna", "password": "correct horse 7"}' | python3 -c 'import json, sys; print(json.load(sys.stdin)["access"])')
api "$port_two" chats/ -H "Authorization: Bearer $token" --json '{"kind": "group", "name": "trip"}' >/dev/null
for port in "$port_one" "$port_two" "$port_nginx"; do
  timeout 20 python3 "$here/talk.py" "ws://127.0.0.1:$port/ws/chat/1/?since=0" "$token" --frames 100 >"$place/heard-$port" </dev/null &
  children+=($!)
  # One connection per user and chat: each takes the place of the one before, at whatever node.
  for try in $(seq 100); do ! grep -qs synced "$place/heard-$port" || break; sleep 0.1; done
  api "$port_one" chats/1/messages/ -H "Authorization: Bearer $token" --json "{\"text\": \"heard at $port?\"}" >/dev/null
  for try in $(seq 100); do ! grep -qs "heard at $port?" "$place/heard-$port" || break; sleep 0.1; done
  grep -q "heard at $port?" "$place/heard-$port" || { echo "not heard at port $port:" >&2; cat "$place/heard-$port" >&2; exit 1; }
done
echo "two nodes behind nginx: what was said at one was heard at each"
