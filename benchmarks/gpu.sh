#!/usr/bin/env bash
# All GPU checks and benchmarks in one call of under ten minutes, on a machine with an NVIDIA GPU and no network.
#   benchmarks/gpu.sh [OUT [WHEELS [OPTION...]]]
# OUT: folder for table.md and the logs; WHEELS: folder with the wheels that are missing, or ""; OPTION: of python -m benchmarks.gpu,
# such as --no-tests, --net lenet, --sanitize memcheck.  The machine has Python 3.11 or later with CuPy, NumPy and PyTorch; WHEELS
# holds the rest for its Python, made where there is a network:
#   pip download -d WHEELS --python-version 3.12 --only-binary :all: pydantic pooch 'nvidia-cudnn-frontend<1.28'
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-gpu_results} wheels=${2:-}
shift $(($# > 2 ? 2 : $#))
mkdir -p "$out"
export PYTHONUNBUFFERED=1 DLTRAIN_CACHE=${DLTRAIN_CACHE:-${TMPDIR:-/tmp}/dltrain_cache}
python=$(command -v python3)
if [ -n "$wheels" ]; then # beside the environment, which may itself be a virtual one
  site=$(mktemp -d)
  "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$site" "$wheels"/*.whl
  export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH}
fi
for module in numpy yaml click h5py tqdm pydantic numba threadpoolctl pooch cupy cudnn pytest hypothesis; do
  "$python" -c "import $module" 2>"$out/log.txt" || echo "missing: $module: $(tail -1 "$out/log.txt")"
done
: >"$out/log.txt"
"$python" -m benchmarks.gpu --out "$out" --seconds "${SECONDS_AT_MOST:-520}" "$@"
cat "$out/table.md"
