#!/usr/bin/env bash
# Runs the test suite on TensorFlow, then the part that needs no TensorFlow on JAX, with TensorFlow
# blocked. Arguments go to pytest:  ./scripts/test.sh tests/layers -k patches
set -euo pipefail
. "$(dirname "$0")/environment.sh"
prepare_environment test

export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}
echo "== TensorFlow"
KERAS_BACKEND=tensorflow "$venv_python" -m pytest "$@"
echo "== JAX, with TensorFlow blocked"
KERAS_BACKEND=jax "$venv_python" -m pytest "$@" || {
    status=$?
    # Exit status 5: none of the chosen tests is for this backend.
    [ "$status" -eq 5 ] && [ "$#" -gt 0 ] || exit "$status"
}
