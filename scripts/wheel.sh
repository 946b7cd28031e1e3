#!/usr/bin/env bash
# Builds the wheel of the last commit, or of a folder that is no clone, imports it out of a folder of
# its own, and resolves all extras beside it, together.
set -euo pipefail
. "$(dirname "$0")/environment.sh"
prepare_environment test  # as the tests have it

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
mkdir "$place/source"
if [ -e .git ]; then git archive HEAD
else tar -c --exclude=__pycache__ --exclude="*.egg-info" --exclude="./.*" .; fi |
    tar -x -C "$place/source"
python=$(cd "$(dirname "$venv_python")" && pwd)/python
cd "$place"
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir . ./source
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --target alone ./*.whl

# Every module and every file beside one is in it.
missing=$(diff <(cd source && find keras_vit -type f | sort) \
    <(cd alone && find keras_vit -type f ! -path "*__pycache__*" | sort) || true)
[ -z "$missing" ] || { echo "error: the wheel differs from the package: $missing" >&2; exit 1; }
PYTHONPATH=$place/alone "$python" -c "
import keras_vit, keras_vit_command
assert keras_vit.__file__.startswith('$place'), keras_vit.__file__
keras_vit.VisionTransformer, keras_vit.training.train
" 2>/dev/null || { echo "error: the wheel cannot be imported" >&2; exit 1; }

extras=$("$python" -c "
import configparser
parser = configparser.ConfigParser()
parser.read('source/setup.cfg')
print(','.join(parser['options.extras_require']))")
wheel=$(basename "$place"/*.whl)
"$python" -m pip install --quiet --disable-pip-version-check uv 2>/dev/null || {
    echo "note: uv could not be installed; the extras are not resolved"
    echo "$wheel: complete, imported alone"
    exit
}
echo "keras-vit[$extras] @ file://$(echo "$place"/*.whl)" |
    "$python" -m uv pip compile --quiet --no-header - >/dev/null ||
    { echo "error: the extras do not resolve together" >&2; exit 1; }
echo "$wheel: complete, imported alone; extras resolved: $extras"
