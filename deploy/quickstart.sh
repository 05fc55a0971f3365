#!/usr/bin/env bash
# Equalizes a picture through the services, from nothing:
#   deploy/quickstart.sh [--keep] [IMAGE]
# Installs the Debian packages that are missing, builds, starts a frontend, a coordinator and two workers on
# loopback with the embedded store in ./histeq-data, uploads IMAGE (a small real picture when none is given),
# and writes IMAGE-name_EQUALIZED.ext beside the original. Stops what it started.
#   --keep   leaves the services running; prints where they are and how to stop them
#   --stop   stops services that --keep left running
set -euo pipefail

usage() { sed -n '2,8s/^# \{0,1\}//p' "$0"; }
die() {
  echo "quickstart: $*" >&2
  exit 1
}

root=$(cd "$(dirname "$0")/.." && pwd)
data=$PWD/histeq-data
run=$data/run
bin=$root/build/release/bin
keep=no
stop_only=no
image=
while [ $# -gt 0 ]; do
  case "$1" in
    --keep) keep=yes ;;
    --stop) stop_only=yes ;;
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
    *)
      [ -z "$image" ] || { usage >&2; exit 2; }
      image=$1 ;;
  esac
  shift
done

services=(worker-2 worker-1 coordinator frontend)

# The process of a service that runs, or nothing.
pid_of() {
  local pid
  pid=$(cat "$run/$1.pid" 2>/dev/null) || return 0
  # A number alone proves nothing: it may be another process's by now.
  case "$(readlink "/proc/$pid/exe" 2>/dev/null)" in
    "$bin"/histeq-*) echo "$pid" ;;
  esac
}

# Asks each service to end, and waits for it: workers first, so that nobody misses anybody.
stop_services() {
  local name pid
  for name in "${services[@]}"; do
    pid=$(pid_of "$name")
    if [ -n "$pid" ]; then
      kill -TERM "$pid" 2>/dev/null || true
      for _ in $(seq 400); do
        [ -n "$(pid_of "$name")" ] || break
        sleep 0.1
      done
      kill -KILL "$pid" 2>/dev/null || true
    fi
    rm -f "$run/$name.pid" "$run/$name.port"
  done
}

if [ $stop_only = yes ]; then
  stop_services
  echo "Stopped. The images are in $data."
  exit 0
fi

if [ -n "$image" ]; then
  [ -f "$image" ] || die "$image: no such file"
  [ -r "$image" ] || die "$image: cannot be read"
else
  mkdir -p "$data/sample"
  image=$data/sample/rocket.jpg
  cp "$root/tests/data/rocket.jpg" "$image"
fi

"$root/deploy/install_packages.sh" build

build() { # cmake --workflow would configure again each time
  cd "$root"
  [ -f build/release/build.ninja ] || cmake --preset release
  cmake --build --preset release
}
echo "Building in $root/build/release ..."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if [ -t 1 ]; then
  (build) 2>&1 | tee "$log" || die "the build failed"
else
  (build) >"$log" 2>&1 || { cat "$log" >&2; die "the build failed"; }
fi
rm -f "$log"

started=no
finish() {
  local code=$?
  trap '' INT TERM
  [ "$started" = no ] || stop_services
  exit $code
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# start NAME PROGRAM ARGUMENT...: in a process group of its own, so that Ctrl-C reaches it through us alone.
start() {
  local name=$1 program=$2
  shift 2
  rm -f "$run/$name.port"
  setsid "$bin/$program" --port 0 --port-file "$run/$name.port" --name "$name" "$@" \
    >"$run/$name.log" 2>&1 </dev/null &
  echo $! >"$run/$name.pid"
  for _ in $(seq 600); do
    [ ! -s "$run/$name.port" ] || return 0
    kill -0 $! 2>/dev/null || break
    sleep 0.05
  done
  tail -n 5 "$run/$name.log" >&2
  die "$name did not start; its log is $run/$name.log"
}
address_of() { echo "127.0.0.1:$(cat "$run/$1.port")"; }

running=0
for name in "${services[@]}"; do [ -z "$(pid_of "$name")" ] || running=$((running + 1)); done
if [ $running -eq ${#services[@]} ]; then
  echo "Using the services that run already."
else
  if [ $running -gt 0 ]; then
    # Left by --keep, and one of them has died since.
    echo "Only $running of ${#services[@]} services run: starting all of them again."
    stop_services
    keep=yes
  fi
  mkdir -p "$run" "$data/scratch"
  started=yes
  start frontend histeq-frontend --data-dir "$data/store"
  start coordinator histeq-coordinator --frontend "$(address_of frontend)" --scratch-dir "$data/scratch"
  start worker-1 histeq-worker --coordinators "$(address_of coordinator)"
  start worker-2 histeq-worker --coordinators "$(address_of coordinator)"
fi
server=$(address_of frontend)

stem=${image##*/}
case "$stem" in
  ?*.*) result=$(dirname "$image")/${stem%.*}_EQUALIZED.${stem##*.} ;;
  *) result=$(dirname "$image")/${stem}_EQUALIZED ;;
esac
"$bin/histeq" equalize "$image" -o "$result" --force --server "$server"

echo
echo "original    $image"
echo "equalized   $result"
echo "programs    $bin"
echo "store, logs $data"
if [ $keep = yes ] || [ $started = no ]; then
  started=no
  echo
  echo "The services are running:"
  for name in frontend coordinator worker-1 worker-2; do
    printf '  %-12s %s  (process %s)\n' "$name" "$(address_of "$name")" "$(pid_of "$name")"
  done
  echo "Use them:   $bin/histeq --help      export HISTEQ_SERVER=$server"
  echo "Stop them:  $0 --stop"
fi
