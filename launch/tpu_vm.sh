#!/usr/bin/env bash
# Trains on a Cloud TPU from its creation to its deletion, through preemptions.
#
#   launch/tpu_vm.sh [--dry-run] [--spot] NAME ZONE TYPE [arguments of the training…]
#
# This is `launch/tpu_pod.sh all`, which explains it, and which can do single steps too.
exec "$(dirname -- "${BASH_SOURCE[0]}")/tpu_pod.sh" all "$@"
