#!/usr/bin/env bash
# Small jobs through the services with the durable catalog, from upload to result:
#   tests/bench/small_jobs.sh [--jobs N] [--parallel N] [--alone N] [--workers N]
# Starts a frontend, a coordinator and workers (default 1) on loopback; N (default 5000) different 512 x 512 JPEGs are
# uploaded to be equalized, watched and received, first some alone, then many at once; then warm GetImage calls.
set -euo pipefail
cd "$(dirname "$0")/../.."

workers=1
arguments=()
while [ $# -gt 0 ]; do
  case "$1" in
    --workers) workers=$2; shift ;;
    --jobs | --parallel | --alone) arguments+=("$1" "$2"); shift ;;
    *) sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
  shift
done

[ -f build/bench/build.ninja ] || cmake --preset bench >/dev/null
cmake --build --preset bench --target histeq-frontend histeq-coordinator histeq-worker make_jpeg small_jobs >&2
bin=$PWD/build/bench/bin
work=$(mktemp -d "${TMPDIR:-/var/tmp}/histeq-bench.XXXXXX")
pids=()
stop() {
  for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap stop EXIT
start() { # NAME PROGRAM ARGUMENT...
  local name=$1 program=$2
  shift 2
  "$bin/$program" --port 0 --port-file "$work/$name.port" --name "$name" --log-level warning "$@" >"$work/$name.log" 2>&1 &
  pids+=($!)
  until [ -s "$work/$name.port" ]; do
    kill -0 $! 2>/dev/null || { cat "$work/$name.log" >&2; exit 1; }
    sleep 0.02
  done
}
address() { echo "127.0.0.1:$(cat "$work/$1.port")"; }

"$bin/make_jpeg" "$work/in.jpg" 512 512 tests/data/rocket.jpg
start frontend histeq-frontend --data-dir "$work/data"
start coordinator histeq-coordinator --frontend "$(address frontend)" --scratch-dir "$work" --jobs 8
for i in $(seq "$workers"); do start "worker-$i" histeq-worker --coordinators "$(address coordinator)"; done
sleep 1
echo "machine: $(nproc) processors, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1); picture: $(stat -c %s "$work/in.jpg") bytes"
"$bin/small_jobs" "$(address frontend)" "$work/in.jpg" "${arguments[@]}"
for i in "${!pids[@]}"; do
  awk -v hz="$(getconf CLK_TCK)" -v p="${pids[$i]}" '{ sub(/.*\) /, ""); printf "process %s: %.2f CPU s\n", p, ($12 + $13) / hz }' "/proc/${pids[$i]}/stat"
done
