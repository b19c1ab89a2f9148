#!/usr/bin/env bash
# Gets what the browser tests use: Chromium (Debian's) and the packages of tests/browser. Where that fails, those tests are
# skipped with a reason.
set -uo pipefail
cd "$(dirname "$0")/.."
if ! command -v chromium >/dev/null && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  echo "installing Chromium for the browser tests"
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } >/dev/null 2>&1 || echo "no Chromium" >&2
fi
stamp=tests/browser/node_modules/.package-lock.json
if command -v npm >/dev/null && [ ! -e "$stamp" -o tests/browser/package.json -nt "$stamp" ]; then
  npm install --prefix tests/browser --no-audit --no-fund --silent || echo "npm could not install tests/browser" >&2
fi
exit 0
