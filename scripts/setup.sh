#!/usr/bin/env bash
# Makes .venv with everything the project needs. Instant when it is up to date. Usage: scripts/setup.sh [extra]
#
#   PYTHON=python3.12 scripts/setup.sh   another interpreter
#   A torch that PYTHON already has is kept and used (a CUDA build, say); otherwise the CPU build is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
extra=${1:-dev}
python=${PYTHON:-$(command -v python3.11 || command -v python3)}
venv_python=.venv/bin/python
unset PYTHONDONTWRITEBYTECODE # uncompiled packages cost 20 s at every start

stamp=.venv/.installed-$extra
wanted=$( (cat pyproject.toml "$0"; "$python" --version) | cksum)
if [ "$(cat "$stamp" 2>/dev/null || true)" = "$wanted" ]; then exit 0; fi

own_torch=$("$python" -c 'import torch; print(torch.__version__)' 2>/dev/null || true)
if [ ! -x "$venv_python" ]; then
  "$python" -m venv ${own_torch:+--system-site-packages} .venv || {
    echo "cannot make a virtual environment: $python needs its venv module (Debian: apt install python3-venv)" >&2
    exit 1
  }
fi
if [ -n "$own_torch" ]; then echo "keeping your torch $own_torch"; fi

echo "setting up .venv (a few minutes at most, once)"
# uv is several times faster than pip but reads none of pip's settings, so the one that may hold a CPU torch is handed over.
links=${PIP_FIND_LINKS:-$("$python" -m pip config get global.find-links 2>/dev/null || true)}
install() {
  if "$venv_python" -m pip install --quiet "uv==0.13.9"; then
    local backend=()
    if [ -z "$own_torch" ] && ! ls ${links:-/nonexistent}/torch-* >/dev/null 2>&1; then backend=(--torch-backend cpu); fi
    UV_FIND_LINKS=$(echo "$links" | tr ' ' ',') "$venv_python" -m uv pip install --quiet --compile-bytecode \
      --python "$venv_python" "${backend[@]}" --editable ".[$extra]" && return
    echo "uv could not install the packages; trying pip" >&2
  fi
  "$venv_python" -m pip install --quiet --editable ".[$extra]"
}
install
"$venv_python" -m emotalker.core.registry >/dev/null # the files of face landmarker and segmenter, once
echo "$wanted" >"$stamp"
