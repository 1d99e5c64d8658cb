#!/usr/bin/env bash
# Trains and evaluates the recipe stargan-celeba-128 on a GPU, in under ten minutes:
#   python benchmarks/gpu/pack.py CELEBA .celeba       once, where CelebA is
#   benchmarks/gpu/train.sh .celeba FOLDER [SECONDS] [SETTING...]
# It trains for SECONDS (by default 400) on .celeba, which may be all of CelebA, and writes the sample grids, the log,
# the translator and the evaluation to FOLDER. A longer training goes on where this one stopped:
#   mdtranslate run FOLDER/run
# See benchmarks/speed/gpu.sh for the packages that a machine without network needs. A setting such as
# train.precision=fp32 replaces that of the recipe.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
celeba=$(cd "${1:?give the folder of CelebA}" && pwd) || exit 2
out=$(mkdir -p "${2:?give a folder for the results}" && cd "$2" && pwd) || exit 2
seconds=${3:-400}
shift $(($# < 3 ? $# : 3))
export PYTHONPATH=$root:$root/plugins${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
mdtranslate=("${PYTHON:-python3}" -m mdtranslate)

# SIGINT ends a run in good order: it saves a checkpoint and the translator.
timeout -s INT -k 60 "$seconds" "${mdtranslate[@]}" run stargan-celeba-128 \
    "datasets.celeba.root=$celeba" datasets.celeba.partial=true "$@" --out "$out/run" 2>&1 | tee "$out/train.log"
[ -d "$out/run/translator" ] || exit 1
timeout -k 5 180 "${mdtranslate[@]}" evaluate "$out/run" 2>&1 | tee "$out/evaluate.log"
exit "${PIPESTATUS[0]}"
