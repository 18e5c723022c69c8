#!/usr/bin/env bash
# Trains on all NVIDIA GPUs of this computer.
#
#   launch/local_gpu.sh [--dry-run] [arguments of the training…]
#
# --dry-run prints the commands and runs none. The same command resumes.
# shellcheck source=launch/setup.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"

if [ "${1:-}" = --dry-run ]; then
  DRY_RUN=1
  shift
fi

run prepare_venv requirements-cuda13.txt
run env JAX_PLATFORMS=cuda "$VENV/bin/python" -c 'import jax; print(*jax.devices())' 2>/dev/null ||
  fail "JAX sees no NVIDIA GPU here: nvidia-smi has to list one, with driver 580 or newer"
run exec "$VENV/bin/python" -m ugatit_jax.main "$@"
