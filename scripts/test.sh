#!/usr/bin/env bash
# Runs the test suite on TensorFlow and, at the same time, the part that needs no TensorFlow on JAX,
# with TensorFlow blocked; what JAX said is printed at the end. Arguments go to pytest:
#   ./scripts/test.sh tests/layers -k patches
# TEST_PROCESSES says how many files are tested at a time on TensorFlow (default 2), beside one on
# JAX: together they keep two cores busy.
set -euo pipefail
. "$(dirname "$0")/environment.sh"
prepare_environment test

export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}
shared=(--dist loadfile --no-loadscope-reorder "$@")
jax_log=$(mktemp)
KERAS_BACKEND=jax "$venv_python" -m pytest -n 1 "${shared[@]}" >"$jax_log" 2>&1 &
jax=$!
trap 'kill "$jax" 2>/dev/null || true; rm -f "$jax_log"' EXIT

echo "== TensorFlow"
tensorflow_status=0
KERAS_BACKEND=tensorflow "$venv_python" -m pytest -n "${TEST_PROCESSES:-2}" "${shared[@]}" ||
    tensorflow_status=$?

echo "== JAX, with TensorFlow blocked"
jax_status=0
wait "$jax" || jax_status=$?
cat "$jax_log"
# None of the chosen tests is for this backend (5), nor is the one that was named (4).
[ "$#" -gt 0 ] && { [ "$jax_status" -eq 5 ] || [ "$jax_status" -eq 4 ]; } && jax_status=0
[ "$tensorflow_status" -eq 0 ] && [ "$jax_status" -eq 0 ]
