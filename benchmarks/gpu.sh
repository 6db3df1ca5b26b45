#!/usr/bin/env bash
# On one CUDA machine, unattended, in under eight minutes: the tests that need a device, then the figures as JSON.
# benchmarks/gpu.sh [python] [output.json]; the Python must have this checkout installed (make install).
set -uo pipefail
cd "$(dirname "$0")/.."
python=${1:-.venv/bin/python}
output=${2:-runs/gpu/results.json}
if [ ! -x "$python" ] && ! command -v "$python" >/dev/null; then
  echo "There is no Python at $python: run make install first, or name one." >&2
  exit 2
fi
timeout 150 "$python" -m pytest tests/test_cuda.py -q -rs
tests=$?
timeout 320 "$python" -m benchmarks.gpu --output "$output"
figures=$?
[ "$tests" -eq 0 ] && [ "$figures" -eq 0 ]
