#!/usr/bin/env bash
# Builds the site of docs/ into docs/_build/html; a warning is an error.
set -euo pipefail
. "$(dirname "$0")/environment.sh"
prepare_environment docs

TF_CPP_MIN_LOG_LEVEL=3 "$venv_python" -m sphinx -W --keep-going -q -b html docs docs/_build/html
echo "docs/_build/html/index.html"
