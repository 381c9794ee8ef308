#!/usr/bin/env bash
# Operators and a whole registration on a CUDA device; writes results/operators_cuda.json and results/speed_cuda.json.
# PYTHON names the interpreter (a CUDA build of torch, numpy, SimpleITK, nibabel); no data and no network are needed.
set -euo pipefail
cd "$(dirname "$0")/../.."
python="${PYTHON:-python3}"

"$python" -c 'import torch; assert torch.cuda.is_available(), "This PyTorch sees no CUDA device."'
"$python" scripts/benchmarks/operators.py --device cuda --name operators_cuda
"$python" scripts/benchmarks/speed.py --device cuda --preset brain-mri --name speed_cuda
