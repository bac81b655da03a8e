#!/usr/bin/env bash
# Measures Tertulia against the limit server and against one transaction per message, in turns, and
# prints the ratios. Server and load have a core each. Raw figures: target/bench/, one JSON a line.
#
#   bench/run.sh            medians of 5 runs (about 20 minutes)
#   bench/run.sh --quick    one short run of each, on smaller data: do all loads still work?
set -euo pipefail
cd "$(dirname "$0")/.."

runs=5 seconds=5 idle_connections=15000 connect_connections=5000 long_chat=1000000
if [ "${1:-}" = --quick ]; then
  runs=1 seconds=2 idle_connections=1000 connect_connections=1000 long_chat=10000
fi
server_core=0 load_core=1
service_port=${BENCH_PORT:-8765} limit_port=$((${BENCH_PORT:-8765} + 1))

cargo build --release --quiet --workspace --bins
bin=$PWD/target/release
mkdir -p target/bench
raw=$PWD/target/bench/$(date +%Y%m%d-%H%M%S).jsonl
# On the disk of the checkout: a temporary directory in memory would make commits free.
place=$(mktemp -d "$PWD/target/bench/run.XXXXXX")
server_pids=()
# stop: ends all servers that run, the last one first.
stop() {
  local at
  for ((at = ${#server_pids[@]} - 1; at >= 0; at--)); do
    kill "${server_pids[at]}" && wait "${server_pids[at]}" || true
  done
  server_pids=()
}
trap 'stop; rm -rf "$place"' EXIT

export TERTULIA_DATA_DIR TERTULIA_BIND=127.0.0.1:$service_port
export TERTULIA_SECRET_KEY="only for this benchmark: $(basename "$place")"
export TERTULIA_MESSAGES_PER_MINUTE=0 TERTULIA_FRAMES_PER_SECOND=0 TERTULIA_LOG=warn

# start PORT COMMAND...: starts a server on its core and waits until it listens.
start() {
  local port=$1; shift
  ! (: </dev/tcp/127.0.0.1/"$port") 2>/dev/null || { echo "port $port is taken: see BENCH_PORT" >&2; exit 1; }
  taskset -c "$server_core" "$@" >>"$place/server.log" 2>&1 &
  local server_pid=$!
  server_pids+=("$server_pid")
  for _ in $(seq 200); do
    if (: </dev/tcp/127.0.0.1/"$port") 2>/dev/null; then return; fi
    kill -0 "$server_pid" 2>/dev/null || break
    sleep 0.05
  done
  echo "the server on port $port didn't start:" >&2; tail -20 "$place/server.log" >&2; exit 1
}

# fresh: a data directory of its own for the next load: what another one left to the search index is not its cost.
fresh() {
  TERTULIA_DATA_DIR=$(mktemp -d "$place/data.XXXXXX")
}

# service SCENARIO...: starts the service, runs the load, stops it. The figures are in $result.
service() {
  fresh
  start "$service_port" "$bin/tertulia" serve
  result=$(taskset -c "$load_core" "$bin/tertulia" load --url "http://127.0.0.1:$service_port" --pid "${server_pids[0]}" --json "$@")
  echo "$result" >>"$raw"; stop
  rm -rf "$TERTULIA_DATA_DIR"
}

# limit PAGE_BYTES SCENARIO...: the same with the limit server.
limit() {
  local page_bytes=$1; shift
  start "$limit_port" "$bin/limit" --bind "127.0.0.1:$limit_port" --page-bytes "$page_bytes"
  result=$(taskset -c "$load_core" "$bin/tertulia" load --limit --url "http://127.0.0.1:$limit_port" --pid "${server_pids[0]}" --json "$@")
  echo "$result" >>"$raw"; stop
}

# across SCENARIO...: the same with two nodes on one database and one Redis, each with every other connection; what the three
# processes cost goes into the figures together.
across() {
  local redis_port=$((service_port + 2)) port
  fresh
  local shared=(env TERTULIA_DATABASE_URL="sqlite://$TERTULIA_DATA_DIR/shared.db?mode=rwc")
  local node=("${shared[@]}" TERTULIA_UPLOADS_DIR="$TERTULIA_DATA_DIR/uploads" TERTULIA_LAYER_URL="redis://127.0.0.1:$redis_port/0")
  start "$redis_port" redis-server --port "$redis_port" --bind 127.0.0.1 --save "" --dir "$place"
  for port in "$service_port" "$limit_port"; do
    start "$port" "${node[@]}" TERTULIA_DATA_DIR="$TERTULIA_DATA_DIR/$port" TERTULIA_BIND="127.0.0.1:$port" "$bin/tertulia" serve
    done
  result=$("${shared[@]}" taskset -c "$load_core" "$bin/tertulia" load --url "http://127.0.0.1:$service_port,http://127.0.0.1:$limit_port" \
    --pid "$(IFS=,; echo "${server_pids[*]}")" --json "$@")
  echo "$result" >>"$raw"; stop
  rm -rf "$TERTULIA_DATA_DIR"
}

# figure NAME: that number of $result. Without it the table would have a hole, so nothing goes on.
figure() {
  local number
  number=$(sed -nE "s/.*\"$1\":(-?[0-9.]+).*/\1/p" <<<"$result")
  [ -n "$number" ] || { echo "bench/run.sh: there is no figure $1 in: $result" >&2; return 1; }
  echo "$number"
}

# keep SERIES FIGURE: adds that number of $result to a series, of which the medians are shown.
declare -A series=()
keep() {
  local number
  number=$(figure "$2")
  series[$1]+="$number "
}
median() {
  tr ' ' '\n' <<<"${series[$1]:-}" | grep . | sort -n |
    awk '{ v[NR] = $1 } END { if (NR) print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

for run in $(seq "$runs"); do
  echo "run $run of $runs" >&2

  for manner in "--lock-step" "--in-flight 16"; do
    name=${manner%% *}
    service fanout --receivers 500 --seconds "$seconds" $manner
    keep "service$name" server_cpu_us_per_delivery
    frame_bytes=$(figure frame_bytes)
    limit 0 fanout --receivers 500 --seconds "$seconds" --frame-bytes "${frame_bytes%.*}" $manner
    keep "limit$name" server_cpu_us_per_delivery
  done

  if command -v redis-server >/dev/null; then
    across fanout --receivers 500 --seconds "$seconds" --in-flight 16
    keep across server_cpu_us_per_delivery
  fi

  for dialect in chats room lobby rpc support; do
    service fanout --receivers 500 --seconds "$seconds" --in-flight 16 --dialect "$dialect"
    keep "fanout-$dialect" server_cpu_us_per_delivery
  done

  service rooms --chats 64 --members 4 --in-flight 256 --seconds "$seconds"
  keep sends sends_per_second
  result=$(taskset -c "$server_core" "$bin/singles" "$place/singles-$run.db" --tasks 256 --chats 64 --seconds "$seconds")
  echo "$result" >>"$raw"
  keep singles commits_per_second
  result=$(taskset -c "$server_core" "$bin/writer" "$place/writer-$run" --tasks 256 --chats 64 --seconds "$seconds")
  echo "$result" >>"$raw"
  keep writer commits_per_second

  service idle --connections "$idle_connections"
  keep idle_kib rss_kib_per_connection
  keep idle_cpu idle_cpu_share

  service connect --connections "$connect_connections" --seconds "$seconds"
  keep service_handshake server_cpu_us_per_handshake
  keep service_handshakes handshakes_per_second
  keep half_p99 half_rate_p99_ms
  limit 0 connect --connections "$connect_connections" --seconds "$seconds"
  keep limit_handshake server_cpu_us_per_handshake
  keep limit_handshakes handshakes_per_second

  service rest --seconds "$seconds"
  keep service_page server_cpu_us_per_request
  keep service_pages requests_per_second
  page_bytes=$(figure body_bytes)
  limit "${page_bytes%.*}" rest --seconds "$seconds"
  keep limit_page server_cpu_us_per_request
  keep limit_pages requests_per_second
done

# Pages of a long chat and of a short one: in one service, so that only the length differs.
fresh
start "$service_port" "$bin/tertulia" serve
load=(taskset -c "$load_core" "$bin/tertulia" load --url "http://127.0.0.1:$service_port" --json)
declare -A chat=() user=() middle=()
for length in 100 "$long_chat"; do
  result=$("${load[@]}" fill --messages "$length")
  echo "$result" >>"$raw"
  # A line each: of several in one, only the last one's failure would count.
  chat[$length]=$(figure chat)
  user[$length]=$(figure user)
  middle[$length]=$(figure middle)
done
for _ in $(seq "$runs"); do
  for length in 100 "$long_chat"; do
    for query in "" "?before=${middle[$length]}"; do
      result=$("${load[@]}" rest "/api/chats/${chat[$length]}/messages/$query" --user "${user[$length]}" --connections 1 --seconds "$seconds")
      echo "$result" >>"$raw"
      keep "page-$length-${query:+before}" answer_p50_ms
    done
  done
done
stop

# row TEXT A B GOAL: two medians and how they relate.
row() {
  awk -v text="$1" -v a="$(median "$2")" -v b="$(median "$3")" -v goal="$4" \
    'BEGIN { printf "%-46s %12s %12s %8.2f   %s\n", text, a, b, (b > 0 ? a / b : 0), goal }'
}
one() { printf '%-46s %12s %12s %8s   %s\n' "$1" "$(median "$2")" "" "" "$3"; }

printf '%-46s %12s %12s %8s   %s\n' "medians of $runs" "tertulia" "compared" "ratio" "goal"
row "fan-out to 500, lock-step, µs a delivery" service--lock-step limit--lock-step "at most 1.3"
row "fan-out to 500, 16 in flight, µs a delivery" service--in-flight limit--in-flight "at most 1.5"
row "  the limit itself: lock-step, in flight" limit--lock-step limit--in-flight "at least 2"
for dialect in chats room lobby rpc support; do
  row "  heard in $dialect, in the chat dialect" "fanout-$dialect" service--in-flight ""
done
[ -z "${series[across]:-}" ] || row "  by two nodes and Redis, in memory" across service--in-flight ""
row "committed sends/s through sockets, singles" sends singles "at least 10"
row "committed sends/s, the writer alone, singles" writer singles "at least 20"
row "µs a handshake" service_handshake limit_handshake "at most 10"
row "  handshakes/s" service_handshakes limit_handshakes ""
one "  p99 at half of that rate, ms" half_p99 "at most 100"
row "µs a page of 50 messages" service_page limit_page "at most 30"
row "  pages/s" service_pages limit_pages ""
row "p50 of a first page: long chat, short chat, ms" "page-$long_chat-" "page-100-" "at most 1.3"
row "p50 of a page in the middle: long, short, ms" "page-$long_chat-before" "page-100-before" "at most 1.3"
one "RSS of an idle connection, KiB" idle_kib "at most 5"
one "  share of a core, all idle" idle_cpu "0"
echo "raw figures: $raw"
