#!/usr/bin/env bash
# Several processes on this machine: PROCESSES=2 launch/local.sh train --config=medical --workdir=runs/medical
# When one dies, the others end, and all start again from the last checkpoint, up to RESTARTS times.
set -euo pipefail
exec "${VFT:-vft}" launch -n "${PROCESSES:-2}" "--restarts=${RESTARTS:-3}" -- "$@"
