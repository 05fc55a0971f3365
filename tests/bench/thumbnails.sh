#!/usr/bin/env bash
# Thumbnails of many photographs, beside sharp and vipsthumbnail in one run:
#   tests/bench/thumbnails.sh [--count N] [--size N] [--runs N]
# N (default 2000) JPEGs of 2 to 12 Mpixel, to 256 pixels, on all processors: histeq by threads and by processes, sharp
# (npm, several files at once), vipsthumbnail over the same list. Best of the runs (default 3), in turn; images a second.
set -euo pipefail
cd "$(dirname "$0")/../.."

count=2000
size=256
runs=3
while [ $# -gt 0 ]; do
  case "$1" in
    --count) count=$2; shift ;;
    --size) size=$2; shift ;;
    --runs) runs=$2; shift ;;
    *) sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
  shift
done

[ -f build/bench/build.ninja ] || cmake --preset bench >/dev/null
cmake --build --preset bench --target histeq_cli make_jpeg >&2
bin=$PWD/build/bench/bin
work=$(mktemp -d "${TMPDIR:-/var/tmp}/histeq-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
processors=$(nproc)

# Some different pictures, each under many names.
distinct=32
pictures=(tests/data/*.jpg tests/data/coffee.png tests/data/chelsea.png)
mkdir "$work/made" "$work/in"
for i in $(seq 0 $((distinct - 1))); do
  width=$((1632 + i * 80))
  "$bin/make_jpeg" "$work/made/$i.jpg" $width $((width * 3 / 4)) "${pictures[$((i % ${#pictures[@]}))]}" "${pictures[@]}"
done
for i in $(seq "$count"); do cp --reflink=auto "$work/made/$((i % distinct)).jpg" "$work/in/$(printf %05d "$i").jpg"; done

if [ ! -d "$work/node_modules" ] && command -v npm >/dev/null; then
  npm install --silent --no-audit --no-fund --prefix "$work" sharp@0.35 >/dev/null 2>&1 || true
fi
cat >"$work/sharp.mjs" <<'S'
import { readdirSync } from 'node:fs';
import sharp from 'sharp';
const [from, to, size, parallel] = process.argv.slice(2);
const names = readdirSync(from);
sharp.concurrency(1);
const one = async () => {
  for (let name; (name = names.pop()) !== undefined;)
    await sharp(`${from}/${name}`).rotate().resize(+size, +size, { fit: 'inside' }).jpeg({ quality: 85 }).toFile(`${to}/${name}`);
};
await Promise.all(Array.from({ length: +parallel }, one));
S

measure() { # NAME COMMAND...: appends seconds
  local name=$1 begin end
  shift
  rm -rf "$work/out"
  mkdir "$work/out"
  begin=$(date +%s.%N)
  "$@" >"$work/$name.log" 2>&1 || { tail -n 3 "$work/$name.log" >&2; return 0; }
  end=$(date +%s.%N)
  made=$(find "$work/out" -name '*.jpg' | wc -l)
  [ "$made" -eq "$count" ] || { echo "$name made $made of $count" >&2; return 0; }
  awk -v a="$begin" -v b="$end" 'BEGIN { print b - a }' >>"$work/$name.s"
}
for run in $(seq "$runs"); do
  echo "run $run of $runs ..." >&2
  measure threads "$bin/histeq" thumbnail "$work/in" --size "$size" -o "$work/out" --threads "$processors" --quiet
  measure processes "$bin/histeq" thumbnail "$work/in" --size "$size" -o "$work/out" --processes "$processors" --quiet
  [ ! -d "$work/node_modules/sharp" ] || measure sharp node "$work/sharp.mjs" "$work/in" "$work/out" "$size" "$processors"
  # Its own threads do one image after the other.
  measure vipsthumbnail sh -c 'cd "$1" && find . -name "*.jpg" -print0 | xargs -0 -n 200 vipsthumbnail --size "$2" -o "$3/tn_%s.jpg[Q=85]"' \
    sh "$work/in" "$size" "$work/out"
done
echo "machine: $processors processors, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1); $count JPEGs, $(du -Lshc "$work"/made | tail -n 1 | cut -f 1) in $distinct different ones"
best() { sort -g "$work/$1.s" 2>/dev/null | head -n 1; }
for name in threads processes sharp vipsthumbnail; do
  seconds=$(best $name)
  [ -n "$seconds" ] || { echo "$name: not measured"; continue; }
  awk -v n=$name -v s="$seconds" -v c="$count" -v t="$(best threads)" 'BEGIN { printf "%-14s %8.2f s %8.1f images/s   threads are %.2f x\n", n, s, c / s, s / t }'
done
