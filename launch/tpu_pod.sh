#!/usr/bin/env bash
# Trains on a Cloud TPU, of one worker or of many, through preemptions.
#
#   launch/tpu_pod.sh COMMAND [--dry-run] [--spot] NAME ZONE TYPE [arguments of the training…]
#
#   create    queue for the TPU and wait until it is there
#   install   put the current commit and its packages on every worker
#   run       train on every worker; the same command resumes
#   delete    give the TPU back
#   all       these four; after a preemption or a lost connection again, until the training is done
#
# --dry-run prints the commands and runs none. --spot takes spare chips, cheaper but preemptible.
# It needs gcloud, logged in and with a project; with several workers, `ssh-add
# ~/.ssh/google_compute_engine` comes first. The TPU's service account (by default the project's)
# needs the roles storage.objectUser and storage.legacyBucketReader on the run's bucket. Let it run
# where it stays connected, such as in tmux on a small VM: a training that nobody listens to may end.
# From the environment:
#
#   RUNTIME   the TPU's system; default: the one for TYPE
#   PAUSE     seconds between two looks at the cloud; default: 30
# shellcheck source=launch/setup.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"

tpu() { run gcloud compute tpus "$@" --zone="$ZONE" --quiet; }

on_workers() { tpu tpu-vm ssh "$NAME" --worker=all --command="$1"; }

request() {
  tpu queued-resources create "$NAME" --node-id="$NAME" --accelerator-type="$TYPE" \
    --runtime-version="$RUNTIME" ${SPOT:+--spot}
}

describe() { tpu "$1" describe "$NAME" --format="value($2)" 2>&1 || true; }

# What there is of the TPU: none, waiting, ready, lost or failed. Without an answer: waiting.
look() {
  local answer
  case $(describe tpu-vm state) in
    *READY) echo ready && return ;;
    *PREEMPTED | *TERMINATED | *STOPPED) echo lost && return ;;
  esac
  answer=$(describe queued-resources state.state)
  case $answer in
    *NOT_FOUND*) echo none ;;
    *SUSPENDED) echo lost ;;
    *FAILED) echo failed ;;
    *) echo "$NAME: $answer" >&2 && echo waiting ;;
  esac
}

tpu_failed() {
  fail "$TYPE in $ZONE was refused: 'gcloud compute tpus queued-resources describe $NAME" \
    "--zone=$ZONE' says why; then '$0 delete $NAME $ZONE $TYPE'"
}

create() {
  request
  if [ -n "${DRY_RUN:-}" ]; then
    describe tpu-vm state
    return
  fi
  while true; do
    case $(look) in
      ready) return ;;
      lost | failed) tpu_failed ;;
      *) sleep "$PAUSE" ;;
    esac
  done
}

install() {
  git diff --quiet HEAD || echo "note: only what is committed goes to $NAME" >&2
  run mkdir -p build &&
    run git archive --format=tar.gz --output=build/ugatit_jax.tar.gz "$COMMIT" . ':!tests' &&
    tpu tpu-vm scp build/ugatit_jax.tar.gz "$NAME:" --worker=all &&
    on_workers "mkdir -p ugatit_jax && tar -xzf ugatit_jax.tar.gz -C ugatit_jax && ugatit_jax/launch/tpu_worker.sh"
}

# A training whose connection broke may still run: its lock keeps a second one out of the workdir,
# with the status that ssh gives to a broken connection.
train() {
  local arguments
  printf -v arguments ' %q' "$@"
  on_workers "cd ugatit_jax && flock -E 255 -w 60 .lock .venv/bin/python -m ugatit_jax.main$arguments"
}

delete() { tpu queued-resources delete "$NAME" --force; }

all() {
  local status='' later=0
  if [ -n "${DRY_RUN:-}" ]; then
    create && install && train "$@" && delete
    return
  fi
  trap 'echo "note: $NAME is still there and may be training" >&2; exit 130' INT TERM
  while true; do
    case $(look) in
      none)
        # The first request has to be right; later ones may meet a cloud that is short of something.
        request || [ -n "$status" ] || exit
        sleep "$PAUSE"
        ;;
      lost) delete || sleep "$PAUSE" ;; # not while it is being suspended
      failed) tpu_failed ;;
      waiting) sleep "$PAUSE" ;;
      ready)
        status=0
        install && train "$@" || status=$?
        if [ "$status" = 0 ]; then break; fi
        sleep "$PAUSE"
        if [ "$status" = 75 ]; then later=$((later + 1)); else later=0; fi
        case $status:$later:$(look) in
          130:* | 255:*) ;; # stopped from outside, or the connection broke
          75:[1-5]:*) ;;    # something could not be read just then; six times in a row are too many
          *:ready)
            echo "error: status $status from $NAME, which is still there: '$0 delete $NAME $ZONE $TYPE'" >&2
            exit "$status"
            ;;
        esac
        echo "note: $NAME stopped with status $status, going on with the newest checkpoint" >&2
        ;;
    esac
  done
  delete
}

COMMAND=${1:-} SPOT=
case $COMMAND in
  create | install | run | delete | all) shift ;;
  *) fail "what to do? $0 create, install, run, delete or all" ;;
esac
while true; do
  case ${1:-} in
    --dry-run) DRY_RUN=1 ;;
    --spot) SPOT=1 ;;
    *) break ;;
  esac
  shift
done
case " ${1:-} ${2:-} ${3:-}" in
  *"  "* | *" -"* | *" ") fail "which TPU? $0 $COMMAND [--dry-run] [--spot] NAME ZONE TYPE [arguments of the training…]" ;;
esac
NAME=$1 ZONE=$2 TYPE=$3 PAUSE=${PAUSE:-30} COMMIT=$(git rev-parse HEAD)
shift 3
case $TYPE in
  v5litepod-*) RUNTIME=${RUNTIME:-v2-alpha-tpuv5-lite} ;;
  v5p-*) RUNTIME=${RUNTIME:-v2-alpha-tpuv5} ;;
  v6e-*) RUNTIME=${RUNTIME:-v2-alpha-tpuv6e} ;;
  *) RUNTIME=${RUNTIME:-tpu-ubuntu2204-base} ;;
esac
if [ "$COMMAND" = run ] || [ "$COMMAND" = all ]; then
  [ $# != 0 ] || fail "train what? give --config=… and --workdir=gs://… after $TYPE"
fi
if [ "$COMMAND" = all ]; then
  case " $*" in
    *" --workdir=gs://"*) ;;
    *) fail "give --workdir=gs://…: what lies on the TPU's own disk is lost with it" ;;
  esac
fi
if [ -z "${DRY_RUN:-}" ] && ! command -v gcloud >/dev/null; then
  fail "gcloud is not installed: https://cloud.google.com/sdk/docs/install"
fi

case $COMMAND in
  run) train "$@" ;;
  all) all "$@" ;;
  *) "$COMMAND" ;;
esac
