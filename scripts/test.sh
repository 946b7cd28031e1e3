#!/usr/bin/env bash
# Runs the test suite on TensorFlow, then the part that needs no TensorFlow on JAX, with TensorFlow
# blocked. Arguments go to pytest:  ./scripts/test.sh tests/layers -k patches
# TEST_PROCESSES says how many files are tested at a time (default 2).
set -euo pipefail
. "$(dirname "$0")/environment.sh"
prepare_environment test

export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}
set -- -n "${TEST_PROCESSES:-2}" --dist loadfile --no-loadscope-reorder "$@"
echo "== TensorFlow"
KERAS_BACKEND=tensorflow "$venv_python" -m pytest "$@"
echo "== JAX, with TensorFlow blocked"
KERAS_BACKEND=jax "$venv_python" -m pytest "$@" || {
    status=$?
    # None of the chosen tests is for this backend (5), nor is the one that was named (4).
    [ "$#" -gt 5 ] && { [ "$status" -eq 5 ] || [ "$status" -eq 4 ]; } || exit "$status"
}
