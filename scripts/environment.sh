# Sourced by the scripts beside it; then
#   prepare_environment [EXTRA,...]
# makes .venv when there is none and installs this project into it, and $venv_python is the
# interpreter to use. PYTHON names the Python to start from (default python3), VENV the folder of the
# environment (default .venv). A second run installs nothing unless setup.cfg or pyproject.toml has
# changed.

fail() {
    echo "error: $1" >&2
    exit 1
}

# Whether a list of extras holds all of another.
holds() {
    local extra
    for extra in ${2//,/ }; do [[ ",$1," == *",$extra,"* ]] || return 1; done
}

prepare_environment() {
    local extras=${1:-} base_python=${PYTHON:-python3} venv=${VENV:-.venv} root stamp state log
    root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
    cd "$root" || exit 1
    venv_python=$venv/bin/python

    command -v "$base_python" >/dev/null 2>&1 ||
        fail "no Python found as '$base_python'; install Python 3.11 or newer, or name it: PYTHON=/path/to/python $0"
    "$base_python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "Python 3.11 or newer is needed; '$base_python' is $("$base_python" --version 2>&1)"

    if [ ! -x "$venv_python" ]; then
        "$base_python" -c 'import venv, ensurepip' 2>/dev/null ||
            fail "Python's venv module is missing; on Debian or Ubuntu: apt install python3-venv"
        echo "Making the environment $venv ..."
        "$base_python" -m venv "$venv" || fail "could not make the environment $venv"
    fi

    state=$(cat setup.cfg pyproject.toml | cksum; pwd)
    for stamp in "$venv"/installed-*; do
        holds "${stamp##*/installed-}" "$extras" &&
            [ "$(cat "$stamp" 2>/dev/null)" = "$state" ] && return
    done
    stamp=$venv/installed-${extras:-base}
    echo "Installing keras_vit${extras:+ with the extra \"$extras\"} into $venv (minutes the first time) ..."
    log=$venv/install.log
    "$venv_python" -m pip install --disable-pip-version-check \
        --editable ".${extras:+[$extras]}" >"$log" 2>&1 || {
        grep -v WARNING "$log" | tail -n 5 >&2
        fail "installation failed; the whole log is $root/$log"
    }
    echo "$state" >"$stamp"
}
