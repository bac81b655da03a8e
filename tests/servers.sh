# Database servers for the tests, to be sourced. Each is private: in a temporary directory, on a free port of this
# machine alone, and stopped by stop_servers. PostgreSQL and MariaDB keep what they commit, as they do in service.

servers_place=
servers_stops=()

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Where servers keep everything, which $servers_parent may say. Else in memory, where there's room for it: a database that is
# made and dropped is some hundred files, and disks' file systems take longer for them than all tests. PostgreSQL's may
# not be root's.
servers_dir() {
  if [ -z "$servers_place" ]; then
    local memory=/dev/shm room parent=${servers_parent:-${TMPDIR:-/tmp}}
    room=$(df --output=avail -k "$memory" 2>/dev/null | tail -1) || true
    if [ -z "${servers_parent:-}" ] && [ "${room:-0}" -gt 4000000 ] && [ -w "$memory" ]; then parent=$memory; fi
    servers_place=$(mktemp -d -p "$parent")
    chmod 755 "$servers_place"
  fi
}

as_postgres() {
  if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

# Whether something listens where a URL says.
answers() {
  local place
  place=$(sed -nE 's#^[a-z]+://([^@/]*@)?([^:/]+):([0-9]+).*#\2/\3#p' <<<"$1")
  [ -n "$place" ] && (: <"/dev/tcp/$place") 2>/dev/null
}

# Its URL is in $postgres_url.
start_postgres() {
  servers_dir
  local dir=$servers_place/postgres bin port
  bin=$(find /usr/lib/postgresql -name initdb -path '*/bin/*' 2>/dev/null | sort -V | tail -1)
  bin=$(dirname "${bin:-$(command -v initdb)}")
  port=$(free_port)
  mkdir "$dir"
  [ "$(id -u)" != 0 ] || chown postgres "$dir"
  as_postgres "$bin/initdb" -D "$dir/data" -U tertulia --auth=trust -E UTF8 --locale=C.UTF-8 >"$dir.log" 2>&1 ||
    { cat "$dir.log" >&2; return 1; }
  as_postgres "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/log" start >"$dir.log" 2>&1 \
    -o "-p $port -k '$dir' -c listen_addresses=127.0.0.1 -c max_connections=400" || { cat "$dir/log" >&2; return 1; }
  servers_stops+=("as_postgres $bin/pg_ctl -D $dir/data -m immediate stop")
  postgres_url=postgres://tertulia@127.0.0.1:$port/postgres
}

# Its URL is in $mysql_url.
start_mariadb() {
  servers_dir
  local dir=$servers_place/mariadb port pid
  port=$(free_port)
  mkdir "$dir"
  local user=()
  [ "$(id -u)" != 0 ] || user=(--user=root)
  mariadb-install-db --no-defaults --datadir="$dir/data" --auth-root-authentication-method=normal --skip-test-db \
    "${user[@]}" >"$dir.log" 2>&1 || { cat "$dir.log" >&2; return 1; }
  "$(command -v mariadbd || echo /usr/sbin/mariadbd)" --no-defaults "${user[@]}" --datadir="$dir/data" \
    --socket="$dir/socket" --pid-file="$dir/pid" --port="$port" --bind-address=127.0.0.1 --max-connections=400 \
    --skip-log-bin >"$dir.log" 2>&1 &
  pid=$!
  disown "$pid"
  servers_stops+=("kill -9 $pid")
  for _ in $(seq 150); do
    if mariadb-admin --no-defaults -uroot --socket="$dir/socket" ping >/dev/null 2>&1; then
      mysql_url=mysql://root@127.0.0.1:$port/
      return
    fi
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.2
  done
  cat "$dir.log" >&2
  return 1
}

stop_servers() {
  local stop
  for stop in "${servers_stops[@]}"; do $stop >/dev/null 2>&1 || true; done
  servers_stops=()
  [ -z "$servers_place" ] || rm -rf "$servers_place"
  servers_place=
}
