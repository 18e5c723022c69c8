#!/usr/bin/env bash
# Runs on a TPU's worker, whose system may be too old: a Python, and the packages in .venv here.
# shellcheck source=launch/setup.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"

UV=$HOME/.local/bin/uv
[ -x "$UV" ] || curl -LsSf https://astral.sh/uv/install.sh | sh
"$UV" python install 3.12
PYTHON=$("$UV" python find --managed-python --system 3.12)
prepare_venv requirements-tpu.txt
