#!/usr/bin/env bash
# From a fresh clone to pictures: trains a small network between two styles of emoji, on any computer,
# and shows what it learned. Arguments go to the training, such as --config.train.steps=100.
# shellcheck source=launch/setup.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"

prepare_venv requirements.txt
"$VENV/bin/python" -m ugatit_jax.main --config=configs/demo.py --workdir=runs/demo "$@"
"$VENV/bin/python" -m ugatit_jax.evaluate runs/demo --beside emoji
echo "pictures: $PWD/runs/demo/samples from the training, $PWD/runs/demo/evaluation of the test set"
