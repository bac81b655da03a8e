#!/usr/bin/env bash
# What a second node costs: CPU of the service's processes per committed send, on PostgreSQL and Redis, with one node and
# with two whose members share every chat; in turns. Nodes have one core, PostgreSQL, Redis and the load the other.
#
#   bench/nodes.sh            medians of 5 runs
#   bench/nodes.sh --quick    one short run of each: do they still work?
set -euo pipefail
cd "$(dirname "$0")/.."

runs=5 seconds=5
if [ "${1:-}" = --quick ]; then runs=1 seconds=2; fi
nodes_core=0 others_core=1

cargo build --release --quiet --workspace --bins
program=$PWD/target/release/tertulia
mkdir -p target/bench
raw=$PWD/target/bench/nodes-$(date +%Y%m%d-%H%M%S).jsonl
place=$(mktemp -d "$PWD/target/bench/nodes.XXXXXX")
. tests/servers.sh
# In memory commits would be free.
servers_parent=${TMPDIR:-/tmp}
pids=()
stop_nodes() {
  [ ${#pids[@]} -eq 0 ] || { kill "${pids[@]}" && wait "${pids[@]}" || true; }
  pids=()
}
redis=
trap 'stop_nodes; [ -z "$redis" ] || kill "$redis"; stop_servers; rm -rf "$place"' EXIT

taskset -p -c "$others_core" $$ >/dev/null
start_postgres
redis_port=$(free_port)
redis-server --port "$redis_port" --bind 127.0.0.1 --dir "$place" --save '' --logfile "$place/redis.log" & redis=$!

export TERTULIA_SECRET_KEY="only for this benchmark: $(basename "$place")" TERTULIA_UPLOADS_DIR=$place/uploads
export TERTULIA_MESSAGES_PER_MINUTE=${BENCH_LIMIT:-0} TERTULIA_FRAMES_PER_SECOND=0 TERTULIA_LOG=warn TERTULIA_DATABASE_URL=$postgres_url

# node LAYER: one more, which listens at the last of $urls.
node() {
  local port; port=$(free_port)
  TERTULIA_DATA_DIR=$place/node-$port TERTULIA_BIND=127.0.0.1:$port TERTULIA_LAYER_URL=$1 \
    taskset -c "$nodes_core" "$program" serve >>"$place/nodes.log" 2>&1 & pids+=($!)
  urls+=("http://127.0.0.1:$port")
  for _ in $(seq 200); do
    if (: </dev/tcp/127.0.0.1/"$port") 2>/dev/null; then return; fi
    sleep 0.05
  done
  echo "a node didn't start:" >&2; tail -20 "$place/nodes.log" >&2; exit 1
}

declare -A series=()
# measure SERIES LAYER...: a node for each layer, under load.
measure() {
  local name=$1 result value; shift
  urls=()
  for layer in "$@"; do node "$layer"; done
  result=$("$program" load --json --url "$(IFS=,; echo "${urls[*]}")" --pid "$(IFS=,; echo "${pids[*]}")" \
    rooms --chats 64 --members 4 --in-flight 64 --seconds "$seconds")
  stop_nodes
  echo "{\"nodes\":\"$name\",\"result\":$result}" >>"$raw"
  for figure in sends_per_second server_cpu_us_per_send; do
    value=$(sed -nE "s/.*\"$figure\":(-?[0-9.]+).*/\1/p" <<<"$result")
    [ -n "$value" ] || { echo "there is no figure $figure in: $result" >&2; exit 1; }
    series[$name-$figure]+="$value "
  done
}
median() {
  tr ' ' '\n' <<<"${series[$1]:-}" | grep . | sort -n |
    awk '{ v[NR] = $1 } END { if (NR) print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

for run in $(seq "$runs"); do
  echo "run $run of $runs" >&2
  measure alone memory://
  measure one "redis://127.0.0.1:$redis_port/0"
  measure two "redis://127.0.0.1:$redis_port/0" "redis://127.0.0.1:$redis_port/0"
done
printf '%-28s %14s %20s\n' "medians of $runs" "sends/s" "µs of CPU a send"
for name in alone one two; do
  printf '%-28s %14s %20s\n' "$name" "$(median "$name-sends_per_second")" "$(median "$name-server_cpu_us_per_send")"
done
awk -v one="$(median one-server_cpu_us_per_send)" -v two="$(median two-server_cpu_us_per_send)" \
  'BEGIN { printf "two nodes cost %.2f times what one costs (goal: at most 1.3)\n", two / one }'
echo "raw figures: $raw"
