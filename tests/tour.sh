#!/usr/bin/env bash
# Walks the tour of README.md as a newcomer would: runs every block marked `sh` between the
# comments "tour begins" and "tour ends", line by line in one shell, and compares what it prints
# with the block marked `text` or `json` that follows it. There, "..." stands for anything.
#
#   tests/tour.sh [path of the program]     (default: target/release/tertulia, built if missing)
#
# Two things differ from what stands in README: the port, so that nothing in the way can be hit,
# and the program, which is started once as it was built.
set -euo pipefail

# Only a failure takes so long: a line that waits for something that never comes.
[ -n "${TOUR_HAS_AN_END:-}" ] || TOUR_HAS_AN_END=1 exec timeout 300 "$0" "$@"

top=$(cd "$(dirname "$0")/.." && pwd)
program=${1:-$top/target/release/tertulia}
[ $# -gt 0 ] || (cd "$top" && cargo build --release --quiet)
program=$(realpath "$program")

place=$(mktemp -d)
service=
leave() {
  local code=$?
  if [ -n "$service" ]; then
    kill -TERM "$service" 2>/dev/null || true
    wait "$service" 2>/dev/null || true
  fi
  if [ "$code" -ne 0 ]; then
    for file in printed log; do
      [ -s "$place/$file" ] || continue
      echo "--- $file, its last lines" >&2
      tail -n 50 "$place/$file" >&2
    done
  fi
  rm -rf "$place"
  exit "$code"
}
trap leave EXIT
trap 'exit 1' TERM

port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
ln -s "$top/examples" "$place/examples"
cd "$place"

# The tour as lines "sh TEXT", "expect TEXT" and "end": one block after the other.
blocks() {
  awk '
    /<!-- tour begins -->/ { touring = 1 }
    /<!-- tour ends -->/ { touring = 0 }
    !touring { next }
    /^```/ {
      if (kind != "") { print "end"; kind = ""; next }
      kind = $0; sub(/^```/, "", kind)
      if (kind == "sh") print "begin sh"
      else if (kind == "text" || kind == "json") print "begin expect"
      else { print "README.md:" NR ": a block of the tour is sh, text or json, not " kind > "/dev/stderr"; exit 1 }
      next
    }
    kind != "" { print "line " $0 }
  ' "$top/README.md" | sed -e "s/127\.0\.0\.1:8000/127.0.0.1:$port/g" -e "s#target/release/tertulia#$program#g"
}

start_service() {
  TERTULIA_BIND=127.0.0.1:$port "$program" >"$place/log" 2>&1 &
  service=$!
  for _ in $(seq 300); do
    curl -sf "http://127.0.0.1:$port/readyz" >/dev/null && return
    kill -0 "$service" 2>/dev/null || break
    sleep 0.1
  done
  echo "the service did not start" >&2
  return 1
}

# Runs a block in this shell, so that its variables last. What it prints is left in $printed.
printed=
run() {
  local block=$1
  sed 's/^/  $ /' <<<"$block"
  if [ "$block" = "cargo run --release" ]; then
    printed=
    start_service
    return
  fi
  eval "$block" >"$place/printed" 2>&1 </dev/null
  printed=$(<"$place/printed")
}

# $1 as a pattern, in which "..." stands for anything.
matches() {
  local pattern=
  local rest=$1
  while [[ $rest == *...* ]]; do
    pattern+="$(printf '%q' "${rest%%...*}")*"
    rest=${rest#*...}
  done
  pattern+=$(printf '%q' "$rest")
  eval "[[ \$2 == $pattern ]]"
}

kind=
text=
blocks_run=0
outputs_compared=0
while IFS= read -r -u 3 line; do
  case $line in
    "begin "*) kind=${line#begin }; text= ;;
    "line "*) text+=${line#line }$'\n' ;;
    end)
      text=${text%$'\n'}
      if [ "$kind" = sh ]; then
        run "$text"
        blocks_run=$((blocks_run + 1))
      elif matches "$text" "$printed"; then
        outputs_compared=$((outputs_compared + 1))
      else
        printf 'README.md promises:\n%s\n\nbut it printed:\n%s\n' "$text" "$printed" >&2
        exit 1
      fi
      ;;
  esac
done 3< <(blocks)

[ "$blocks_run" -gt 3 ] && [ "$outputs_compared" -gt 3 ] || { echo "README.md has no tour" >&2; exit 1; }
echo "tour: $blocks_run blocks run, $outputs_compared outputs as README.md says"
