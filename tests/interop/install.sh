#!/usr/bin/env bash
# Installs the npm packages of package-lock.json, unless they are there already.
set -euo pipefail
cd "$(dirname "$0")"
[ node_modules/.package-lock.json -nt package-lock.json ] && exit 0
npm ci --no-progress
touch node_modules/.package-lock.json
