#!/usr/bin/env bash
# Trains every shipped model, and those that they are compared with, one after the other; interrupted and started again, it goes on where it was.
#   scripts/train_all.sh [--device cuda] [--threads N] [NAME …]
# The lists must be there: python3 scripts/hippocampus.py --data DIR --out scripts/configs/hippocampus
#                          python3 scripts/heads.py --data DIR --out scripts/configs/heads
#                          python3 scripts/mixed_heads.py scripts/configs/heads
# NAME: configurations to train (head_any_beta, …); default: all of them.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-.venv/bin/python}"
device=auto
options=()
names=()
while [ $# -gt 0 ]; do
  case "$1" in
    --device) device="${2:?--device needs cpu, cuda, mps or auto}"; shift 2 ;;
    --threads) options+=(--set "threads=${2:?--threads needs a number}"); shift 2 ;;
    -*) echo "Unknown option $1; there are --device and --threads." >&2; exit 2 ;;
    *) names+=("$1"); shift ;;
  esac
done

known=()
train() { # CONFIGURATION
  known+=("$1")
  if [ ${#names[@]} -eq 0 ] || [[ " ${names[*]} " == *" $1 "* ]]; then
    echo "== $1"
    "$python" scripts/train.py "scripts/configs/$1.yaml" --set "device=$device" ${options[@]+"${options[@]}"}
  fi
}

train hippocampus_beta
train hippocampus_gaussian
train hippocampus_beta_dice
train hippocampus_hyper
train hippocampus_transmorph_tvf # for comparison, as the next one
train hippocampus_voxelmorph
train head_any_first # where the next one starts, and from that the others
train head_any_second
train head_any_beta
train head_any_uniform # for comparison
train head_any_hyper
train any_shapes_hyper

for name in ${names[@]+"${names[@]}"}; do
  [[ " ${known[*]} " == *" $name "* ]] || { echo "Unknown configuration $name; there are ${known[*]}." >&2; exit 2; }
done
