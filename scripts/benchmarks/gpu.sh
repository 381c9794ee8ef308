#!/usr/bin/env bash
# Operators, a whole registration, networks and a slider step on a CUDA device; writes results/*_cuda*.json.
# PYTHON names the interpreter (a CUDA build of torch, numpy, SimpleITK, nibabel); no data and no network are needed.
set -euo pipefail
cd "$(dirname "$0")/../.."
python="${PYTHON:-python3}"

"$python" -c 'import torch; assert torch.cuda.is_available(), "This PyTorch sees no CUDA device."'
"$python" scripts/benchmarks/operators.py --device cuda --name operators_cuda
"$python" scripts/benchmarks/speed.py --device cuda --preset brain-mri --name speed_cuda
"$python" scripts/benchmarks/networks.py --device cuda --name networks_cuda
"$python" scripts/benchmarks/slider.py --shape 160 192 224 --device cuda --name slider_cuda
