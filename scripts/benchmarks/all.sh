#!/usr/bin/env bash
# Every benchmark of the README, one after the other, with two threads; hours on two cores. Needs the data and, named by
# SPATIALREG_BENCH_PYTHON, the baselines. Leave the machine alone meanwhile. `THREADS=8 scripts/benchmarks/all.sh` for more.
set -euo pipefail
cd "$(dirname "$0")/../.."
python="${PYTHON:-.venv/bin/python}"
threads="${THREADS:-2}"
results=scripts/benchmarks/results

"$python" scripts/benchmarks/operators.py --threads "$threads"
"$python" scripts/benchmarks/folding.py --threads "$threads"
"$python" scripts/benchmarks/speed.py --threads "$threads"
"$python" scripts/benchmarks/networks.py --threads "$threads"
"$python" scripts/benchmarks/slider.py --shape 96 112 96 --threads "$threads"
"$python" scripts/benchmarks/spatial_weight.py --set hippocampus --pairs 40 --threads "$threads"
"$python" scripts/benchmarks/spatial_weight.py --set head --pairs 4 --spacing 2 --threads "$threads"

accuracy() { # SET, METHODS, further options
  "$python" scripts/benchmarks/accuracy.py --set "$1" --methods "$2" --out "$results/accuracy_$1.json" \
    --threads "$threads" --timeout 3600 "${@:3}"
}
uniform="ours:prior=uniform,lambda_max=0.15;ours:prior=uniform,lambda_max=0.3;ours:prior=uniform,lambda_max=0.6"
accuracy hippocampus "ours;syn_mi;syn_cc;demons;demons_symmetric;convexadam;elastix;fireants" --pairs 20
accuracy lung "ours;ours:affine=affine;ours+masks;syn_mi;syn_cc;demons;convexadam;elastix;elastix_affine;elastix_lung;fireants"
accuracy breathing "ours;$uniform;syn_mi;demons;convexadam;elastix;fireants"
accuracy head "ours;syn_mi;syn_cc;demons;convexadam;elastix;fireants" --pairs 3
accuracy ms "ours;syn_mi;demons;elastix"
accuracy brain_t1 "ours;syn_mi;demons;convexadam;elastix" --pairs 2
accuracy abdomen "ours;syn_mi;convexadam;elastix"
"$python" scripts/benchmarks/table.py
