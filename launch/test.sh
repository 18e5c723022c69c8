#!/usr/bin/env bash
# Runs the tests; arguments go to pytest. Without any: all but the slow ones. With -m '': all.
# shellcheck source=launch/setup.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"

prepare_venv requirements-dev.txt
# Compiling, most of the work, takes one core; more than four processes take more memory than time.
"$VENV/bin/python" -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile "$@"
