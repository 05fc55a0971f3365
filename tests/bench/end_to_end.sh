#!/usr/bin/env bash
# One large JPEG through the services, beside what it costs without them, in one run:
#   tests/bench/end_to_end.sh [--edge PIXELS] [--runs N] [--workers N] [--no-install]
# Prints wall time, CPU seconds and peak memory of each service for a 16384 x 16384 JPEG with two workers on
# loopback; of the bare decode + encode by libjpeg-turbo in one thread; and of `vips hist_equal`. Then upload and
# download of 1 GiB beside an empty gRPC stream of the same chunks. Medians of N runs (default 3), in turn.
set -euo pipefail
cd "$(dirname "$0")/../.."

edge=16384
runs=3
workers=2
install=yes
while [ $# -gt 0 ]; do
  case "$1" in
    --edge) edge=$2; shift ;;
    --runs) runs=$2; shift ;;
    --workers) workers=$2; shift ;;
    --no-install) install=no ;;
    *) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
  shift
done

[ $install = no ] || deploy/install_packages.sh build bench
[ -f build/bench/build.ninja ] || cmake --preset bench >/dev/null
cmake --build --preset bench --target histeq-frontend histeq-coordinator histeq-worker histeq_cli \
  make_jpeg recode_jpeg empty_stream >&2
bin=$PWD/build/bench/bin

work=$(mktemp -d "${TMPDIR:-/var/tmp}/histeq-bench.XXXXXX")
declare -A pids=()
stop() {
  for name in "${!pids[@]}"; do kill -TERM "${pids[$name]}" 2>/dev/null || true; done
  wait 2>/dev/null || true
  pids=()
}
trap 'stop; rm -rf "$work"' EXIT

start() { # NAME PROGRAM ARGUMENT...
  local name=$1 program=$2
  shift 2
  rm -f "$work/$name.port"
  "$bin/$program" --port 0 --port-file "$work/$name.port" --name "$name" "$@" >"$work/$name.log" 2>&1 &
  pids[$name]=$!
  until [ -s "$work/$name.port" ]; do
    kill -0 "${pids[$name]}" 2>/dev/null || { cat "$work/$name.log" >&2; exit 1; }
    sleep 0.02
  done
}
address() { echo "127.0.0.1:$(cat "$work/$1.port")"; }
start_services() {
  rm -rf "$work/data"
  start frontend histeq-frontend --data-dir "$work/data" --log-level warning
  start coordinator histeq-coordinator --frontend "$(address frontend)" --scratch-dir "$work" --image-budget 128MiB
  for i in $(seq "$workers"); do
    start "worker-$i" histeq-worker --coordinators "$(address coordinator)" --slots 1 --threads 1
  done
  [ "$workers" -gt 0 ] || return 0
  until "$bin/histeq" nodes --json --server "$(address frontend)" 2>/dev/null | grep -o "\"worker-[0-9]*\"" | sort -u |
    wc -l | grep -qx "$workers"; do sleep 0.05; done
}
cpu_of() { # seconds of user and system time
  awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($12 + $13) / hz }' "/proc/$1/stat"
}
peak_of() { awk '/^VmHWM:/ { printf "%.0f\n", $2 / 1024 }' "/proc/$1/status"; }
median() { sort -g | awk '{ v[NR] = $1 } END { print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.3f\n", b - a }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }
timed() { # FILE COMMAND...: appends wall, cpu, peak MiB
  local file=$1
  shift
  /usr/bin/time -f '%e %U %S %M' -o "$work/time" "$@" >/dev/null
  awk '{ printf "%s %.2f %.0f\n", $1, $2 + $3, $4 / 1024 }' "$work/time" >>"$file"
}

echo "machine: $(nproc) processors, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)"
echo "making a $edge x $edge JPEG ..." >&2
"$bin/make_jpeg" "$work/in.jpg" "$edge" "$edge" tests/data/*.jpg tests/data/coffee.png tests/data/chelsea.png
echo "image: $edge x $edge, $(stat -c %s "$work/in.jpg") bytes"

names=(frontend coordinator)
for i in $(seq "$workers"); do names+=("worker-$i"); done
for run in $(seq "$runs"); do
  echo "run $run of $runs ..." >&2
  start_services
  declare -A before=()
  for name in "${names[@]}"; do before[$name]=$(cpu_of "${pids[$name]}"); done
  begin=$(now)
  timed "$work/client" "$bin/histeq" equalize "$work/in.jpg" -o "$work/out.jpg" --force --quiet --server "$(address frontend)"
  since "$begin" >>"$work/wall"
  for name in "${names[@]}"; do
    echo "$(cpu_of "${pids[$name]}") ${before[$name]} $(peak_of "${pids[$name]}")" |
      awk '{ printf "%.2f %d\n", $1 - $2, $3 }' >>"$work/use-$name"
  done
  grep -h job_completed "$work/coordinator.log" >>"$work/stages" || true
  stop
  timed "$work/recode" "$bin/recode_jpeg" "$work/in.jpg" "$work/recoded.jpg"
  timed "$work/vips" vips hist_equal "$work/in.jpg" "$work/vips.jpg[Q=90,subsample-mode=on]"
done

wall=$(median <"$work/wall")
vips=$(awk '{ print $1 }' "$work/vips" | median)
total=0
printf '\n%-24s %9s %9s %9s\n' "" "wall s" "CPU s" "peak MiB"
for name in "${names[@]}"; do
  cpu=$(awk '{ print $1 }' "$work/use-$name" | median)
  total=$(awk -v a="$total" -v b="$cpu" 'BEGIN { print a + b }')
  printf '%-24s %9s %9.2f %9d\n' "  $name" "" "$cpu" "$(awk '{ print $2 }' "$work/use-$name" | sort -g | tail -n 1)"
done
row() { # TITLE FILE
  printf '%-24s %9.2f %9.2f %9d\n' "$1" "$(awk '{ print $1 }' "$2" | median)" "$(awk '{ print $2 }' "$2" | median)" \
    "$(awk '{ print $3 }' "$2" | sort -g | tail -n 1)"
}
client=$(awk '{ print $2 }' "$work/client" | median)
printf '%-24s %9s %9.2f %9d\n' "  client" "" "$client" "$(awk '{ print $3 }' "$work/client" | sort -g | tail -n 1)"
printf '%-24s %9.2f %9.2f\n' "services, $workers workers" "$wall" "$(awk -v a="$total" -v b="$client" 'BEGIN { print a + b }')"
row "libjpeg-turbo, 1 thread" "$work/recode"
row "vips hist_equal" "$work/vips"
echo "services / vips: $(ratio "$wall" "$vips") of its wall time (wanted: at most 1.50)"
tail -n 1 "$work/stages" | grep -oE '(analyze|transform|upload|total)_s=[0-9.]+' | tr '\n' ' '
echo

# 1 GiB that begins like an image: stored as it is, no job.
size=$((1 << 30))
cp tests/data/rocket.jpg "$work/big.jpg"
head -c $((size - $(stat -c %s "$work/big.jpg"))) /dev/urandom >>"$work/big.jpg"
workers=0
start_services
for run in $(seq "$runs"); do
  echo "transfer $run of $runs ..." >&2
  begin=$(now)
  id=$("$bin/histeq" upload "$work/big.jpg" --quiet --server "$(address frontend)" | head -n 1)
  since "$begin" >>"$work/upload"
  begin=$(now)
  "$bin/histeq" download "$id" -o "$work/big.out" --force --quiet --server "$(address frontend)"
  since "$begin" >>"$work/download"
  cmp "$work/big.jpg" "$work/big.out"
  "$bin/empty_stream" up "$size" >>"$work/empty-up"
  "$bin/empty_stream" down "$size" >>"$work/empty-down"
  # The bare disk, with the flush that an acknowledgement waits for.
  begin=$(now)
  dd if="$work/big.jpg" of="$work/big.dd" bs=1M conv=fsync status=none
  since "$begin" >>"$work/disk"
  rm "$work/big.dd"
  "$bin/histeq" delete "$id" --quiet --server "$(address frontend)" >/dev/null
done
printf '\n1 GiB                    %9s %9s\n' "wall s" "of empty"
for way in upload download; do
  case $way in upload) empty=$(median <"$work/empty-up") ;; download) empty=$(median <"$work/empty-down") ;; esac
  mine=$(median <"$work/$way")
  printf '%-24s %9.2f %8.0f%% (wanted: at least 50%%)\n' "$way" "$mine" "$(awk -v a="$empty" -v b="$mine" 'BEGIN { print 100 * a / b }')"
  printf '%-24s %9.2f\n' "  empty gRPC stream" "$empty"
done
printf '%-24s %9.2f\n' "  copy to disk + fsync" "$(median <"$work/disk")"
echo "frontend's peak: $(peak_of "${pids[frontend]}") MiB"
