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
level=warning
work=$(mktemp -d "${TMPDIR:-/var/tmp}/histeq-bench.XXXXXX")
pids=()
names=()
stop() {
  for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap stop EXIT
start() { # NAME PROGRAM ARGUMENT...
  local name=$1 program=$2
  shift 2
  "$bin/$program" --port 0 --port-file "$work/$name.port" --name "$name" --log-level "$level" "$@" >"$work/$name.log" 2>&1 &
  pids+=($!)
  names+=("$name")
  until [ -s "$work/$name.port" ]; do
    kill -0 $! 2>/dev/null || { cat "$work/$name.log" >&2; exit 1; }
    sleep 0.02
  done
}
address() { echo "127.0.0.1:$(cat "$work/$1.port")"; }

"$bin/make_jpeg" "$work/in.jpg" 512 512 tests/data/rocket.jpg
start frontend histeq-frontend --data-dir "$work/data"
level=info start coordinator histeq-coordinator --frontend "$(address frontend)" --scratch-dir "$work" --jobs 8
for i in $(seq "$workers"); do start "worker-$i" histeq-worker --coordinators "$(address coordinator)"; done
sleep 1
echo "machine: $(nproc) processors, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1); picture: $(stat -c %s "$work/in.jpg") bytes"
for i in "${!pids[@]}"; do arguments+=(--process "${names[$i]}=${pids[$i]}"); done
"$bin/small_jobs" "$(address frontend)" "$work/in.jpg" "${arguments[@]}"
# Inside "lease to end", by the coordinator's log, over all jobs.
for stage in analyze_s transform_s upload_s; do
  sed -n "s/.* job_completed .*$stage=\([0-9.]*\).*/\1/p" "$work/coordinator.log" | sort -n |
    awk -v stage="${stage%_s}" '{ v[NR] = $1 } END { if (NR > 0) printf "coordinator, %s, ms: median %.0f, p99 %.0f\n", stage, v[int((NR + 1) / 2)] * 1000, v[int((NR * 99 + 99) / 100)] * 1000 }'
done
