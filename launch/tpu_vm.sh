#!/usr/bin/env bash
# A TPU pod slice as a queued resource: launch/tpu_vm.sh NAME ZONE TYPE train --config=medical --workdir=/mnt/runs/medical
# Asks for a spot slice, waits for it, installs this checkout on every host and starts one process on each. jax finds the
# others by itself. The workdir must be a disk that all hosts see. Run it again after a preemption: the run goes on.
set -euo pipefail
if [ "$#" -lt 4 ]; then
  echo "Expected NAME ZONE TYPE and a command, such as: $0 vft us-central2-b v4-16 train --config=medical" >&2
  exit 2
fi
name=$1 zone=$2 type=$3
shift 3
version=${RUNTIME:-tpu-ubuntu2204-base}
tpu() { gcloud compute tpus "$@" "--zone=$zone"; }
state() { tpu queued-resources describe "$name" --format='value(state.state)' 2>/dev/null || true; }

case $(state) in
  SUSPENDED | FAILED) tpu queued-resources delete "$name" --force --quiet ;;
esac
if [ -z "$(state)" ]; then
  tpu queued-resources create "$name" "--node-id=$name" "--accelerator-type=$type" "--runtime-version=$version" --spot
fi
until [ "$(state)" = ACTIVE ]; do
  case $(state) in
    SUSPENDED | FAILED) echo "The slice is $(state); start this again." >&2; exit 5 ;;
  esac
  sleep 30
done
tar --exclude=.git --exclude=.venv -czf "/tmp/vft-$name.tar.gz" -C "$(dirname "$0")/.." .
tpu tpu-vm scp "/tmp/vft-$name.tar.gz" "$name:/tmp/vft.tar.gz" --worker=all
printf -v command '%q ' "$@"
tpu tpu-vm ssh "$name" --worker=all --command="mkdir -p ~/vft && cd ~/vft && tar xzf /tmp/vft.tar.gz && \
python3 -m venv .venv && .venv/bin/pip install -q -e '.[demo,tpu]' && exec .venv/bin/vft $command"
