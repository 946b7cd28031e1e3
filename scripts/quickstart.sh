#!/usr/bin/env bash
# Installs keras_vit into .venv and runs the whole story on handwritten digits: train, evaluate,
# look inside, export, and a summary. Takes some minutes on two cores; needs no network afterwards.
#   ./scripts/quickstart.sh [OUTPUT_FOLDER]
set -euo pipefail
. "$(dirname "$0")/environment.sh"
prepare_environment

exec "$venv_python" -m keras_vit_command quickstart --output_dir="${1:-outputs/quickstart}"
