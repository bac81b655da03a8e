#!/usr/bin/env bash
# Committed sends a second on PostgreSQL: the writer alone against one transaction per message, at 1, 16, 64 and 256
# senders in 64 chats, three runs in turns. The server is a private one, on the disk of the checkout, with fsync; it
# and the program share the machine. Raw figures: target/bench/, one JSON a line.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${BENCH_RUNS:-3} seconds=${BENCH_SECONDS:-5}

cargo build --release --quiet --workspace --bins
bin=$PWD/target/release
mkdir -p target/bench
raw=$PWD/target/bench/postgres-$(date +%Y%m%d-%H%M%S).jsonl
. tests/servers.sh
servers_place=$(mktemp -d "$PWD/target/bench/postgres.XXXXXX")
chmod 755 "$servers_place"
data=$(mktemp -d)
trap 'stop_servers; rm -rf "$data"' EXIT
start_postgres
export TERTULIA_LOG=warn

# database NAME: an empty one; its URL.
database() {
  psql --no-psqlrc --quiet "$postgres_url" -c "CREATE DATABASE $1"
  echo "${postgres_url%/*}/$1"
}

# figure SCENARIO TASKS COMMAND...: runs, and prints what was committed a second.
declare -A series=()
figure() {
  local scenario=$1 tasks=$2 line value
  shift 2
  line=$("$@" --tasks "$tasks" --chats 64 --seconds "$seconds")
  echo "$line" >>"$raw"
  value=$(sed -nE 's/.*"commits_per_second":([0-9.]+).*/\1/p' <<<"$line")
  [ -n "$value" ] || { echo "no commits were counted in: $line" >&2; exit 1; }
  series[$scenario-$tasks]+="$value "
}

for run in $(seq "$runs"); do
  for tasks in 1 16 64 256; do
    name=w${run}_$tasks
    figure writer "$tasks" "$bin/writer" "$data/$name" --database-url "$(database "$name")"
    # As many connections as there are senders, up to what a service would have; two make the tables.
    connections=$((tasks < 2 ? 2 : tasks < 16 ? tasks : 16))
    figure singles "$tasks" "$bin/singles" "$(database "s${run}_$tasks")" --connections "$connections"
  done
done

printf '%-10s %28s %28s %8s\n' senders "the writer (median; runs)" "one transaction each" ratio
for tasks in 1 16 64 256; do
  awk -v tasks="$tasks" -v a="${series[writer-$tasks]}" -v b="${series[singles-$tasks]}" '
    function median(text, v, n, i, j, t) {
      n = split(text, v, " ")
      for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (v[j] + 0 < v[i] + 0) { t = v[i]; v[i] = v[j]; v[j] = t }
      least = v[1]
      return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
    }
    BEGIN {
      mb = median(b); ma = median(a)
      printf "%-10s %28s %28s %8.1f%s\n", tasks, ma " (" a ")", mb " (" b ")", ma / mb, least < ma / 2 ? "  a run is below half of the median" : ""
    }'
done
echo "raw figures: $raw"
