#!/usr/bin/env bash
# run.sh [python] [output.json]: unpacks the wheels beside it into a scratch folder, and runs the CUDA tests and the
# table there. Needs no package index and changes nothing of the machine. Takes at most seven minutes.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${1:-python3}
output=${2:-$here/results.json}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for wheel in "$here"/wheels/*.whl; do
  "$python" -m zipfile -e "$wheel" "$scratch" || exit 2
done
export PYTHONPATH=$scratch
"$here/benchmarks/gpu.sh" "$python" "$output"
