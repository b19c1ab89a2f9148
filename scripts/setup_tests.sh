#!/usr/bin/env bash
# Gets what some tests use: Debian's Chromium and Redis server, and the packages of tests/browser. Where that fails, those tests
# are skipped with a reason.
set -uo pipefail
cd "$(dirname "$0")/.."
missing=()
command -v chromium >/dev/null || missing+=(chromium)
command -v redis-server >/dev/null || missing+=(redis-server)
if [ ${#missing[@]} -gt 0 ] && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  echo "installing ${missing[*]} for the tests"
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/dev/null 2>&1 || echo "no ${missing[*]}" >&2
fi
stamp=tests/browser/node_modules/.package-lock.json
if command -v npm >/dev/null && [ ! -e "$stamp" -o tests/browser/package.json -nt "$stamp" ]; then
  npm install --prefix tests/browser --no-audit --no-fund --silent || echo "npm could not install tests/browser" >&2
fi
exit 0
