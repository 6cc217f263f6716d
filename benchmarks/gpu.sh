#!/usr/bin/env bash
# Everything that needs a GPU, in eight minutes: do the kernels agree, how fast are they, and the paper's row.
#
#     benchmarks/gpu.sh [--data DIR] [--out DIR] [--wheels DIR] [--steps LIST] [--dry-run]
#
# Each step has a time limit, writes its results at once, and is followed by the next whether it succeeded or not. The
# exit code is 1 where one failed.
#   --data DIR    where CIFAR-10 is, as torchvision keeps it or as cifar10-train.zip and cifar10-test.zip (default: data)
#   --out DIR     where results go (default: runs/gpu)
#   --wheels DIR  wheels to install first, without a network: einops pytest numpy, and the peers (inf-cl, memeff)
#   --steps LIST  which steps, with commas: tests, widths, peers, tune, row, crops (default: all but tune and crops)
#   --dry-run     the same steps at the smallest sizes, on whatever there is; taken where there is no GPU
# Needs Python with torch, Triton, torchvision; installs nothing that is not in --wheels. PYTHON names the interpreter.
set -uo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3} data=data out=runs/gpu wheels='' dry='' steps=tests,widths,peers,row
while [ $# -gt 0 ]; do
    case $1 in
        --data) data=$2; shift 2 ;;
        --out) out=$2; shift 2 ;;
        --wheels) wheels=$2; shift 2 ;;
        --steps) steps=$2; shift 2 ;;
        --dry-run) dry=yes; shift ;;
        *) sed -n '2,13p' "$0"; exit 2 ;;
    esac
done
for name in ${steps//,/ }; do
    [[ ,tests,widths,peers,tune,row,crops, == *,$name,* ]] ||
        { echo "--steps: expected some of tests, widths, peers, tune, row, crops; got $name" >&2; exit 2; }
done
mkdir -p "$out"
data=$(realpath -m "$data") out=$(realpath "$out")
[ -z "$wheels" ] || wheels=$(realpath "$wheels")
cd "$root"
export PYTHONPATH="$root/src:$root${PYTHONPATH:+:$PYTHONPATH}"
started=$(date +%s) failed=0

# step NAME SECONDS COMMAND...: run it under the limit, keep what it says, go on.
step() {
    local name=$1 limit=$2 begun code
    shift 2
    begun=$(date +%s)
    echo "== $name (at most $limit s): $*"
    timeout --kill-after=5 "$limit" "$@" > "$out/$name.txt" 2>&1
    code=$?
    echo "$name,$code,$(($(date +%s) - begun)),$*" >> "$out/steps.csv"
    [ "$code" -eq 0 ] || failed=$((failed + 1))
    tail -n 4 "$out/$name.txt"
    echo "== $name: exit $code after $(($(date +%s) - begun)) s"
}

has() { "$python" -c "import $1" 2> /dev/null; }
wanted() { [[ ,$steps, == *,$1,* ]]; }

echo 'step,exit,seconds,command' > "$out/steps.csv"
if [ -n "$wheels" ]; then
    step wheels 30 "$python" -m pip install --no-index --no-deps --target "$out/site" --upgrade "$wheels"/*.whl
    export PYTHONPATH="$PYTHONPATH:$out/site"
fi
if ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2> /dev/null; then
    echo 'no GPU: a dry run'
    dry=yes
fi
step conditions 30 "$python" - << 'PY'
import platform
import torch

print(platform.python_version(), "torch", torch.__version__)
try:
    import triton

    print("triton", triton.__version__)
except ImportError:
    print("no triton")
if torch.cuda.is_available():
    print(torch.cuda.get_device_properties(0), "CUDA", torch.version.cuda)
PY
git rev-parse HEAD > "$out/commit.txt" 2> /dev/null || true

# 1. The kernels against float64 on real hardware; compiling takes most of the time, and can be shared out.
if ! wanted tests; then
    :
elif ! has pytest; then
    echo 'tests: skipped, pytest is not installed' | tee "$out/tests.txt"
    failed=$((failed + 1))
elif [ -n "$dry" ]; then
    step tests 600 "$python" -m pytest -q -p no:cacheprovider -m cuda --collect-only tests/ops/test_triton_cuda.py
else
    share=''
    if has xdist; then share='-n 8'; fi
    # shellcheck disable=SC2086 (two words or none)
    step tests 160 "$python" -m pytest -q -p no:cacheprovider -m cuda --maxfail=20 --durations=10 -p no:benchmark -W default $share \
        --junitxml="$out/tests.xml" tests/ops/test_triton_cuda.py
fi

# 2. Beside bare products at the five widths, then beside the fused losses of others; the space of tile sizes.
bench() {
    local name=$1 limit=$2
    shift 2
    wanted "$name" || return 0
    if [ -n "$dry" ]; then
        step "$name" 600 "$python" -m benchmarks "$name" --smoke
    else
        touch "$out/.begun"
        step "$name" "$limit" "$python" -m benchmarks "$name" "$@"
        # Not those of an earlier commit, where the step failed.
        find "$root/benchmarks/results" -name "$name-cuda.*" -newer "$out/.begun" -exec cp {} "$out" \;
    fi
}
bench widths 110 --rounds 7
bench peers 60 --rounds 3
bench tune 170 --rounds 5

# 3. Rows of the paper in what remains of eight minutes. The same command again goes on where it was stopped.
images=(--data-root "$data")
if [ -f "$data/cifar10-train.zip" ]; then
    images=(--data folder --root "$data/cifar10-train.zip" --test-root "$data/cifar10-test.zip")
fi
# row NAME RECIPE OPTION...: make the row of the recipe.
row() {
    local name=$1 left
    shift
    wanted "$name" || return 0
    local command=("$python" examples/reproduction/reproduce.py "$@" --out "$out/$name")
    if [ -n "$dry" ]; then
        step "$name" 600 "${command[@]}" --smoke --device cpu
    else
        left=$((480 - ($(date +%s) - started)))
        [ "$left" -gt 60 ] || left=60
        step "$name" "$left" "${command[@]}" "${images[@]}" --budget "$((left * 2 / 3))s" --bf16 --compile --device cuda
    fi
}
row row cifar10/dim-local-infonce
# The ResNet on strided crops, with a learning rate for minutes instead of a thousand epochs.
row crops cifar10/crops-one --scale 0 --lr 1e-3 --schedule cosine --warmup 0.2
echo "results: $out"
cat "$out/steps.csv"
exit $((failed > 0))
