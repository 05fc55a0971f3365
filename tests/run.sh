#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test.
#   tests/run.sh [--preset dev|clang|asan|tsan] [--filter REGEX] [--label REGEX] [--no-install] [--no-test] [-j N]
# --filter and --label are ctest's -R and -L. The build is in build/PRESET and is reused.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '2,4s/^# \{0,1\}//p' "$0"; }

preset=dev
install=yes
test=yes
jobs=
ctest_arguments=()
while [ $# -gt 0 ]; do
  case "$1" in
    --preset | --filter | --label | -j)
      [ $# -ge 2 ] || { usage >&2; exit 2; }
      case "$1" in
        --preset) preset=$2 ;;
        --filter) ctest_arguments+=(-R "$2") ;;
        --label) ctest_arguments+=(-L "$2") ;;
        -j) jobs=$2 ;;
      esac
      shift ;;
    --no-install) install=no ;;
    --no-test) test=no ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done

if [ $install = yes ]; then
  deploy/install_packages.sh build test
fi

cores=$(nproc)
if [ -z "$jobs" ]; then
  # A compiler at a file with gRPC in it takes about 1 GiB, with sanitizers some more.
  available_kib=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
  by_memory=$((available_kib / (1536 * 1024)))
  jobs=$((by_memory < cores ? by_memory : cores))
  [ "$jobs" -ge 1 ] || jobs=1
fi

cmake --preset "$preset"
cmake --build --preset "$preset" -j "$jobs"
[ $test = yes ] || exit 0

# Tests that start several services ask ctest for all processors, so that they do not starve each other.
ctest --preset "$preset" -j "$cores" "${ctest_arguments[@]}"
