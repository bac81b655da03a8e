#!/usr/bin/env bash
# Everything that must hold before a change lands: form, lints, documents and all that is built, then the tour of
# README.md, a real Django beside it, the pages in a browser, a short run of the benchmarks, and all tests, which come last.
# Needs a Rust toolchain; what else is missing is installed with Debian's package manager.
set -euo pipefail
cd "$(dirname "$0")"

step() { printf '\n== %s (%ds)\n' "$1" "$SECONDS"; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Installs the packages whose command is missing: "command=package ...".
install_missing() {
  local packages=() pair
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null || packages+=("${pair#*=}")
  done
  [ ${#packages[@]} -eq 0 ] && return
  command -v apt-get >/dev/null || { echo "missing, and no apt-get to install with: ${packages[*]}" >&2; exit 1; }
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
}

step "what is needed"
install_missing cc=build-essential curl=curl jq=jq python3=python3 node=nodejs npm=npm chromium=chromium \
  mariadb-install-db=mariadb-server
[ -n "$(find /usr/lib/postgresql -name initdb 2>/dev/null)" ] || install_missing initdb=postgresql
install_missing redis-server=redis-server
if ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
  rustup component add rustfmt clippy
fi
if ! cargo nextest --version >/dev/null 2>&1; then
  cargo install cargo-nextest --locked || echo "no cargo-nextest: the tests run with cargo test"
fi

step "form"
cargo fmt --all --check

step "lints"
cargo clippy --workspace --all-targets --quiet -- -D warnings

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --quiet

step "release build"
cargo build --release --workspace --quiet

step "test build"
cargo build --workspace --all-targets --quiet

built=$SECONDS

step "the tour of README.md"
tests/tour.sh target/release/tertulia

step "a Redis for the tests"
if [ -z "${TERTULIA_TEST_REDIS_URL:-}" ]; then
  redis_port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  # Ends with its time, however this script ends.
  timeout 2h redis-server --port "$redis_port" --bind 127.0.0.1 --save "" --logfile "" >target/redis.log 2>&1 &
  export TERTULIA_TEST_REDIS_URL=redis://127.0.0.1:$redis_port/0
  until redis-cli -p "$redis_port" ping >/dev/null 2>&1; do kill -0 $!; sleep 0.05; done
  trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
fi

step "beside a real Django"
python3 -c 'import ensurepip' 2>/dev/null || install_missing no-such-command=python3-venv
[ -d /usr/lib/postgresql ] || install_missing no-such-command=postgresql
tests/python/run.sh target/release/tertulia

step "the pages, in a browser"
npm ci --prefix tests/browser --ignore-scripts --no-audit --no-fund --silent
TERTULIA_BINARY="$PWD/target/release/tertulia" npm test --prefix tests/browser --silent

step "two nodes behind nginx"
examples/two-nodes.sh --check target/release/tertulia

if [ -x bench/run.sh ]; then
  step "the benchmarks, in short"
  bench/run.sh --quick
fi

step "tests, on SQLite"
unset TERTULIA_TEST_DATABASE_URL
if cargo nextest --version >/dev/null 2>&1; then
  cargo test --workspace --doc --quiet
  # They wait more than they work.
  tests=(cargo nextest run --test-threads "$((2 * $(nproc)))")
else
  tests=(cargo test)
fi
"${tests[@]}" --workspace

# The other databases: those that these variables name, where they answer; else private ones.
. tests/servers.sh
trap 'stop_servers; kill $(jobs -p) 2>/dev/null || true' EXIT
postgres_url=${TERTULIA_TEST_POSTGRES_URL:-} mysql_url=${TERTULIA_TEST_MYSQL_URL:-}
answers "$postgres_url" || start_postgres
answers "$mysql_url" || start_mariadb

step "tests, on PostgreSQL and on MariaDB"
on_postgres=target/tests-on-postgresql.log
TERTULIA_TEST_DATABASE_URL=$postgres_url "${tests[@]}" --package tertulia >"$on_postgres" 2>&1 &
postgres_tests=$!
failed=0
TERTULIA_TEST_DATABASE_URL=$mysql_url "${tests[@]}" --package tertulia || failed=1
step "what PostgreSQL's said"
wait "$postgres_tests" || failed=1
cat "$on_postgres"
step "all: $((SECONDS - built)) s after the build"
exit "$failed"
