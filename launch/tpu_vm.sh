#!/usr/bin/env bash
# Trains on a Cloud TPU of one worker from its creation to its deletion, through preemptions.
#
#   launch/tpu_vm.sh [--dry-run] [--spot] NAME ZONE TYPE [arguments of the training…]
#
# launch/tpu_pod.sh, which does the same for several workers, explains it.
exec "$(dirname -- "${BASH_SOURCE[0]}")/tpu_pod.sh" all "$@"
