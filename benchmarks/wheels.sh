#!/bin/sh
# What a machine without a network needs to run benchmarks/gpu.py, in one folder.
#
#     benchmarks/wheels.sh [FOLDER] [PYTHON_VERSION]
#
# That machine has Python, torch, torchvision, numpy, scipy, scikit-image, opencv, pyyaml, requests,
# tqdm and safetensors. FOLDER (default: .wheels) gets the wheels of what it lacks, and basicsr as
# it is installed here, because PyPI has it as a source only, whose build needs torch; addict, future
# and yapf, which basicsr asks for, are imported by none of its modules. The two lines to install
# and to run are printed at the end.
set -eu
folder=${1:-.wheels}
version=${2:-3.12}
python=${PYTHON:-python3}
mkdir -p "$folder/basicsr"
platforms=
for tag in manylinux_2_28 manylinux_2_27 manylinux_2_17 manylinux2014; do
    platforms="$platforms --platform ${tag}_x86_64"
done
# shellcheck disable=SC2086
"$python" -m pip download --quiet --no-deps --only-binary=:all: --implementation cp \
    --python-version "$version" $platforms --dest "$folder" \
    lmdb PyWavelets pytorch-wavelets spandrel
"$python" - "$folder/basicsr" <<'COPY'
import importlib.util
import shutil
import sys
from pathlib import Path

spec = importlib.util.find_spec('basicsr')
if spec is None:
    raise SystemExit('basicsr is not installed for this Python; set PYTHON to the one that has it')
source = Path(spec.origin).parent
target = Path(sys.argv[1]) / 'basicsr'
shutil.rmtree(target, ignore_errors=True)
shutil.copytree(source, target, ignore=shutil.ignore_patterns('__pycache__'))
COPY
du -sh "$folder" | sed 's/^/In all: /'
cat <<LINES

On that machine, in this folder of the project, with $folder beside it:

    python3 -m pip install -q --no-index --no-deps --no-compile --target site $folder/*.whl
    PYTHONPATH=site:$folder/basicsr:. python3 benchmarks/gpu.py --out results_gpu
LINES
