#!/usr/bin/env bash
# Installs the Debian packages that histeq needs and that are missing, and says which.
#   deploy/install_packages.sh [build] [test] [bench]      (default: build)
# Uses sudo when not root. With nothing missing it changes nothing and needs no rights and no network.
set -euo pipefail

build_packages=(
  g++ cmake ninja-build ccache mold pkg-config
  libabsl-dev libfmt-dev libspdlog-dev libcli11-dev
  protobuf-compiler protobuf-compiler-grpc libprotobuf-dev libgrpc++-dev
  libhwy-dev libseccomp-dev libisal-dev libjpeg62-turbo-dev libpng-dev libzimg-dev zlib1g-dev
  libsqlite3-dev libssl-dev
)
test_packages=(catch2 python3)
bench_packages=(libbenchmark-dev libvips-tools time)
# Commands that may well come from elsewhere (Debian's npm conflicts with other builds of Node.js).
test_commands=(node:nodejs npm:npm)

groups=("$@")
[ ${#groups[@]} -gt 0 ] || groups=(build)

wanted=()
commands=()
for group in "${groups[@]}"; do
  case "$group" in
    build) wanted+=("${build_packages[@]}") ;;
    test) wanted+=("${test_packages[@]}"); commands+=("${test_commands[@]}") ;;
    bench) wanted+=("${bench_packages[@]}") ;;
    *) echo "usage: $0 [build] [test] [bench]" >&2; exit 2 ;;
  esac
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  {
    echo "This is not a Debian system: packages cannot be installed from here."
    echo "histeq is built and tested on Debian 12. It needs what these packages hold:"
    printf '  %s\n' "${wanted[@]}" "${commands[@]#*:}"
  } >&2
  exit 1
fi

installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${wanted[@]}" 2>/dev/null |
  awk '$2 == "installed" { print $1 }' | sort -u || true)
missing=()
for package in "${wanted[@]}"; do
  grep -qxF -- "$package" <<<"$installed" || missing+=("$package")
done
for entry in "${commands[@]}"; do
  command -v "${entry%%:*}" >/dev/null || missing+=("${entry#*:}")
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "Installing: ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "Not root, and there is no sudo. As root run: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
apt_install() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends "${missing[@]}"
}
# The package lists of a fresh machine are empty or old.
"${as_root[@]}" apt-get update -q || echo "apt-get update failed; trying with the lists as they are" >&2
if ! apt_install; then
  echo "Could not install: ${missing[*]}. histeq is built and tested on Debian 12." >&2
  exit 1
fi
