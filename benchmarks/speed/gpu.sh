#!/usr/bin/env bash
# Runs all benchmarks that need a GPU, in under ten minutes:
#   benchmarks/speed/gpu.sh FOLDER       writes FOLDER/gpu.json (all figures) and FOLDER/gpu.log; FOLDER may be $OUT
#   DEVICE=cpu benchmarks/speed/gpu.sh FOLDER       a short version, to test the script itself
#
# For a GPU machine without network (Python 3.12 with torch), prepare the missing packages once in the repository:
#   echo /.whl/ >> "$(git rev-parse --git-common-dir)/info/exclude"; pip wheel -q --no-deps -w .whl .
#   pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
#     --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -d .whl \
#     pydantic==2.14.4 pydantic-core==2.50.5 annotated-types typing-inspection platformdirs tomli-w \
#     albumentations==2.0.8 albucore==0.0.24 simsimd==6.5.16 stringzilla==5.3.2 python-avatars==1.4.1 resvg-py==0.5.0
# On that machine, with .whl copied (the wheel of this repository provides the entry points, the tree the code):
#   python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target /tmp/site \
#     .whl/*.whl && PYTHONPATH=/tmp/site benchmarks/speed/gpu.sh $OUT
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
out=$(mkdir -p "${1:-${OUT:?give a folder}}" && cd "${1:-$OUT}" && pwd) || exit 2
python=${PYTHON:-python3} device=${DEVICE:-cuda} speed=$root/benchmarks/speed
export PYTHONPATH=$root:$root/plugins${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
limit=570 slow=1 # Seconds in total: the machine limits a command to 600.
[ "$device" = cpu ] && limit=3600 slow=8 && export OMP_NUM_THREADS=1 # Others may use the machine, too.

if [ "$device" = cuda ] && ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
    echo "gpu.sh: torch finds no GPU; DEVICE=cpu runs a short test of the script"
    exit 2
fi

summary="" failed=0 parts=$(mktemp -d)
trap 'rm -rf "$parts"' EXIT
part() { # NAME SECONDS COMMAND...: runs one benchmark; a failure does not stop the others
    local name=$1 seconds=$(($2 * slow)) start=$SECONDS code
    shift 2
    ((seconds > limit - SECONDS)) && seconds=$((limit - SECONDS))
    printf '\n== %s\n' "$name"
    if ((seconds > 0)); then timeout -k 5 "$seconds" "$@"; code=$?; else code=124; fi
    local outcome=ok
    ((code)) && failed=1 outcome="FAILED ($code)"
    summary+=$(printf '%-20s %4d s  %s' "$name" $((SECONDS - start)) "$outcome")$'\n'
}

compiled() { # SIZE BATCH SECONDS
    [ "$device" = cpu ] && return # Compiling takes minutes on a CPU.
    part "compiled $1/$2" "$3" "$python" "$speed/step.py" --device "$device" --sizes "$1" --batches "$2" --rounds 7 \
        --precisions bf16 --variant train.compile=true --variant train.compile=graphs --no-memory \
        --out "$parts/step-$1-$2-compiled.json"
}

measure() {
    local sizes=("64 8" "128 16" "128 128") steps=(--rounds 7) data=(--rounds 5 --seconds 0.6) busy=()
    local translate=() setting size batch
    if [ "$device" = cpu ]; then
        sizes=("64 2" "64 4") steps=(--rounds 1) data=(--images 64 --rounds 1 --seconds 0.1)
        busy=(--size 64 --batch 2 --cycles 1) translate=(--size 64 --images 2 --rounds 1 --no-compile)
    fi
    # The profile comes first, because the time may run out.
    part busy 90 "$python" "$speed/busy.py" --device "$device" "${busy[@]}" --out "$parts/busy.json"
    for setting in "${sizes[@]}"; do
        read -r size batch <<<"$setting"
        part "step $size/$batch" 80 "$python" "$speed/step.py" --device "$device" --sizes "$size" --batches "$batch" \
            "${steps[@]}" --out "$parts/step-$size-$batch.json"
    done
    compiled 128 16 200
    part translate 120 "$python" "$speed/translate.py" --device "$device" "${translate[@]}" --out "$parts/translate.json"
    part datapath 60 "$python" "$root/benchmarks/datapath.py" "${data[@]}" --json "$parts/datapath.json"
    compiled 64 8 200 # If there is time left.
    # One file, because the machine returns few files.
    "$python" - "$parts" "$out/gpu.json" <<'END' || failed=1
import json, pathlib, sys
parts, out = map(pathlib.Path, sys.argv[1:])
results = {file.stem: json.loads(file.read_text()) for file in sorted(parts.glob("*.json"))}
if results:
    out.write_text(json.dumps(results, indent=2))
END
    printf '\n%s%s\n' "$summary" "$SECONDS s in total, figures in $out/gpu.json"
    return $failed
}
measure 2>&1 | tee "$out/gpu.log"
exit "${PIPESTATUS[0]}"
