#!/usr/bin/env bash
# Walks the tour of README.md as a newcomer would: runs every block marked `sh` between the
# comments "tour begins" and "tour ends", line by line in one shell, and compares what it prints
# with the block marked `text` or `json` that follows it. There, "..." stands for anything.
#
#   tests/tour.sh [path of the program]     (default: target/release/tertulia, built if missing)
#
# Two things differ from what stands in README: the port, so that nothing in the way can be hit,
# and the program, which is started once as it was built. So before the tour the program is also
# started as README has it, with no settings at all. Where port 8000 is taken, that is left out and
# said; but not in CI (where the variable CI is set): there it is a failure.
set -euo pipefail

# Only a failure takes so long: a line that waits for something that never comes.
[ -n "${TOUR_HAS_AN_END:-}" ] || TOUR_HAS_AN_END=1 exec timeout 300 "$0" "$@"

top=$(cd "$(dirname "$0")/.." && pwd)
program=${1:-$top/target/release/tertulia}
[ $# -gt 0 ] || (cd "$top" && cargo build --release --quiet)
program=$(realpath "$program")
# Nobody's settings but the tour's own.
unset "${!TERTULIA_@}"

place=$(mktemp -d)
service=
is_through=
exec 4>&2
leave() {
  local code=$?
  # A block that ends the shell ends it with its own output.
  exec 2>&4
  if [ "$code" -eq 0 ] && [ -z "$is_through" ]; then
    echo "the tour ended before its end" >&2
    code=1
  fi
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

# start_service PORT [VARIABLE=VALUE...]: in the directory where we are, with these settings; until it answers there.
start_service() {
  env "${@:2}" "$program" >"$place/log" 2>&1 &
  service=$!
  for _ in $(seq 300); do
    kill -0 "$service" 2>/dev/null || break
    curl -sf "http://127.0.0.1:$1/readyz" >/dev/null && return
    sleep 0.1
  done
  echo "the service did not start" >&2
  return 1
}

# is_free PORT: whether a server could listen there.
is_free() {
  python3 -c 'import socket, sys; socket.create_server(("127.0.0.1", int(sys.argv[1])))' "$1" 2>/dev/null
}

# As whoever has just built it starts it: without a setting, a file or a directory.
start_without_settings() {
  if ! is_free 8000; then
    if [ -n "${CI:-}" ]; then
      echo "port 8000 is taken: here the start with no settings has to be tried" >&2
      return 1
    fi
    echo "tour: SKIPPED the start with no settings at all, for port 8000 is taken"
    return
  fi
  mkdir "$place/fresh"
  cd "$place/fresh"
  start_service 8000
  curl -sf http://127.0.0.1:8000/healthz >/dev/null
  [ -s data/tertulia.db ] || { echo "it did not make ./data" >&2; return 1; }
  kill -TERM "$service"
  wait "$service"
  service=
  cd "$place"
  rm log
  echo "tour: with no settings at all it serves on 127.0.0.1:8000"
}
start_without_settings

port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
ln -s "$top/examples" "$place/examples"
cd "$place"

# The tour: what stands between its two comments.
begins=$(grep -c '<!-- tour begins -->' "$top/README.md" || true)
ends=$(grep -c '<!-- tour ends -->' "$top/README.md" || true)
[ "$begins $ends" = "1 1" ] || { echo "README.md has to say once where the tour begins and where it ends" >&2; exit 1; }
sed -n '/<!-- tour begins -->/,/<!-- tour ends -->/p' "$top/README.md" >tour
grep -q '<!-- tour ends -->' tour || { echo "the tour of README.md ends before it begins" >&2; exit 1; }

# Its blocks, one after the other, as lines "begin KIND", "line TEXT" and "end".
awk '
  /^```/ && kind != "" { print "end"; kind = ""; next }
  /^```/ {
    kind = $0; sub(/^```/, "", kind)
    if (kind == "sh") print "begin sh"
    else if (kind == "text" || kind == "json") print "begin expect"
    else { print "README.md: a block of the tour is sh, text or json, not \"" kind "\"" > "/dev/stderr"; is_wrong = 1; exit 1 }
    next
  }
  kind != "" { print "line " $0 }
  END { if (kind != "" && !is_wrong) { print "README.md: the last block of the tour has no end" > "/dev/stderr"; exit 1 } }
' tour | sed -e "s/127\.0\.0\.1:8000/127.0.0.1:$port/g" -e "s#target/release/tertulia#$program#g" >blocks

# Runs a block in this shell, so that its variables last. What it prints is left in $printed.
printed=
run() {
  local block=$1
  sed 's/^/  $ /' <<<"$block"
  if [ "$block" = "cargo run --release" ]; then
    printed=
    start_service "$port" TERTULIA_BIND="127.0.0.1:$port"
    return
  fi
  eval "$block" >"$place/printed" 2>&1 </dev/null 3<&-
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
done 3<blocks

# Counted in another way than they were found: by their fences, wherever these stand.
fences=$(grep -cE '^[[:space:]]*(```|~~~)' tour || true)
if [ "$outputs_compared" -eq 0 ] || [ "$fences" -ne $((2 * (blocks_run + outputs_compared))) ]; then
  echo "README.md: the tour has $fences fences, but $blocks_run blocks were run and $outputs_compared outputs compared" >&2
  exit 1
fi
is_through=yes
echo "tour: $blocks_run blocks run, $outputs_compared outputs as README.md says"
