#!/usr/bin/env bash
# Writes the public address of the repository, given as OWNER/REPOSITORY on GitHub, into what has to
# name it: the pictures and links of the README, which an index page shows, the notebooks' links to
# Colab, and setup.cfg. Part of a release; see RELEASING.md.
#   ./scripts/address.sh OWNER/REPOSITORY TAG
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -eq 2 ] || { echo "usage: $0 OWNER/REPOSITORY TAG" >&2; exit 1; }

sed -i -E "s#(!\[[^]]*\]\()(docs/)#\1https://raw.githubusercontent.com/$1/$2/\2#g
    s#(\]\()(docs/|[A-Z]+\.md|[A-Z]+\.cff|LICENSE)#\1https://github.com/$1/blob/$2/\2#g" README.md
sed -i "s#OWNER/REPOSITORY#$1#g" docs/notebooks/*.ipynb
grep -q "^url" setup.cfg || sed -i "s#^license = .*#&\nurl = https://github.com/$1#" setup.cfg
