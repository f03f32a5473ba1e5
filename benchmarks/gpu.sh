#!/usr/bin/env bash
# All GPU checks and benchmarks in one call of under ten minutes, on a machine with an NVIDIA GPU and no network.
#   benchmarks/gpu.sh [OUT] [WHEELS]      OUT: folder for table.md and the logs; WHEELS: folder with the wheels that are missing
# The machine has Python 3.11 or later with CuPy and PyTorch; WHEELS holds the rest for its Python, made where there is a network:
#   pip download -d WHEELS --python-version 3.12 --only-binary :all: \
#     pydantic pooch numba h5py tqdm click pyyaml threadpoolctl pytest hypothesis 'nvidia-cudnn-frontend<1.28'
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-gpu_results} wheels=${2:-}
mkdir -p "$out"
python=$(command -v python3)
if [ -n "$wheels" ]; then
  "$python" -m venv --system-site-packages "$out/venv" || exit 1
  python=$out/venv/bin/python
  "$python" -m pip install -q --no-index --find-links "$wheels" pydantic pooch numba h5py tqdm click pyyaml threadpoolctl \
    pytest hypothesis 'nvidia-cudnn-frontend<1.28' 2>&1 | tail -3
fi
for module in numpy yaml click h5py tqdm pydantic threadpoolctl pooch cupy; do
  "$python" -c "import $module" 2>/dev/null || echo "missing: $module"
done
export DLTRAIN_CACHE=$PWD/$out/cache PYTHONUNBUFFERED=1
"$python" -m benchmarks.gpu --out "$out" --seconds "${SECONDS_AT_MOST:-520}"
cat "$out/table.md"
