#!/usr/bin/env bash
# On one CUDA machine, unattended, in under seven minutes: the tests that need a device, then the figures as JSON.
# benchmarks/gpu.sh [python] [output.json]; the Python must have the distributions (make install, or the bundle).
set -uo pipefail
cd "$(dirname "$0")/.."
python=${1:-.venv/bin/python}
output=${2:-runs/gpu/results.json}
if [ ! -x "$python" ] && ! command -v "$python" >/dev/null; then
  echo "There is no Python at $python: run make install first, or name one." >&2
  exit 2
fi
timeout 120 "$python" -m pytest tests/test_cuda.py -q -rs -p no:cacheprovider
tests=$?
timeout "${SECONDS_FOR_FIGURES:-$((400 - SECONDS))}" "$python" -m benchmarks.gpu --output "$output" ${GPU_OPTIONS:-}
figures=$?
[ "$tests" -eq 0 ] && [ "$figures" -eq 0 ]
