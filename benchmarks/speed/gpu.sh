#!/usr/bin/env bash
# Everything that waits for a GPU, in under ten minutes:
#   benchmarks/speed/gpu.sh FOLDER       writes FOLDER/gpu.json (all figures) and FOLDER/gpu.log; FOLDER may be $OUT
#   DEVICE=cpu benchmarks/speed/gpu.sh FOLDER       the same in short, to try the script itself
#
# On a rented machine without network (Python 3.12 with torch) carry what it lacks. Here, once, in the repository:
#   echo /.whl/ >> "$(git rev-parse --git-common-dir)/info/exclude"; pip wheel -q --no-deps -w .whl .
#   pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
#     --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -d .whl \
#     pydantic==2.14.4 pydantic-core==2.50.5 annotated-types typing-inspection platformdirs tomli-w \
#     albumentations==2.0.8 albucore==0.0.24 simsimd==6.5.16 stringzilla==5.3.2 python-avatars==1.4.1 resvg-py==0.5.0
# There, with .whl carried (the wheel of this repository is for its entry points; its code is the tree's):
#   python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target /tmp/site \
#     .whl/*.whl && PYTHONPATH=/tmp/site benchmarks/speed/gpu.sh $OUT
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
out=$(mkdir -p "${1:-${OUT:?give a folder}}" && cd "${1:-$OUT}" && pwd) || exit 2
python=${PYTHON:-python3} device=${DEVICE:-cuda} speed=$root/benchmarks/speed
export PYTHONPATH=$root:$root/plugins${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
limit=570 slow=1 # Seconds in all: the machine's own limit for a command is 600.
[ "$device" = cpu ] && limit=3600 slow=8 && export OMP_NUM_THREADS=1 # It may be a machine that others use.

if [ "$device" = cuda ] && ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
    echo "gpu.sh: no GPU that torch can use; DEVICE=cpu tries the script in short"
    exit 2
fi

summary="" failed=0 parts=$(mktemp -d)
trap 'rm -rf "$parts"' EXIT
part() { # NAME SECONDS COMMAND...: its output goes into the log, too; what fails does not stop the rest
    local name=$1 seconds=$(($2 * slow)) began=$SECONDS code
    shift 2
    ((seconds > limit - SECONDS)) && seconds=$((limit - SECONDS))
    printf '\n== %s\n' "$name"
    if ((seconds > 0)); then timeout -k 5 "$seconds" "$@"; code=$?; else code=124; fi
    local said=ok
    ((code)) && failed=1 said="FAILED ($code)"
    summary+=$(printf '%-20s %4d s  %s' "$name" $((SECONDS - began)) "$said")$'\n'
}

compiled() { # SIZE BATCH SECONDS
    [ "$device" = cpu ] && return # A compiler takes minutes there.
    part "compiled $1/$2" "$3" "$python" "$speed/step.py" --device "$device" --sizes "$1" --batches "$2" --rounds 7 \
        --precisions bf16 --try train.compile=true --try train.compile=graphs --no-memory \
        --out "$parts/step-$1-$2-compiled.json"
}

measure() {
    local sizes=("64 8" "128 16" "128 128") steps=(--rounds 7) data=(--rounds 5 --seconds 0.6) busy=()
    local translate=() each size batch
    if [ "$device" = cpu ]; then
        sizes=("64 2" "64 4") steps=(--rounds 1) data=(--pictures 64 --rounds 1 --seconds 0.1)
        busy=(--size 64 --batch 2 --cycles 1) translate=(--size 64 --pictures 2 --rounds 1 --no-compile)
    fi
    # The picture of what the device does comes first: should the time run out, the rest is known in part.
    part busy 90 "$python" "$speed/busy.py" --device "$device" "${busy[@]}" --out "$parts/busy.json"
    for each in "${sizes[@]}"; do
        read -r size batch <<<"$each"
        part "step $size/$batch" 80 "$python" "$speed/step.py" --device "$device" --sizes "$size" --batches "$batch" \
            "${steps[@]}" --out "$parts/step-$size-$batch.json"
    done
    compiled 128 16 200
    part translate 120 "$python" "$speed/translate.py" --device "$device" "${translate[@]}" --out "$parts/translate.json"
    part datapath 60 "$python" "$root/benchmarks/datapath.py" "${data[@]}" --json "$parts/datapath.json"
    compiled 64 8 200 # As far as there is time for it.
    # One file, as the machine brings few back.
    "$python" - "$parts" "$out/gpu.json" <<'END' || failed=1
import json, pathlib, sys
parts, out = map(pathlib.Path, sys.argv[1:])
found = {each.stem: json.loads(each.read_text()) for each in sorted(parts.glob("*.json"))}
if found:
    out.write_text(json.dumps(found, indent=2))
END
    printf '\n%s%s\n' "$summary" "in all $SECONDS s, figures in $out/gpu.json"
    return $failed
}
measure 2>&1 | tee "$out/gpu.log"
exit "${PIPESTATUS[0]}"
