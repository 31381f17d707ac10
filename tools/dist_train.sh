#!/usr/bin/env bash
# Train in several processes: dist_train.sh CONFIG PROCESSES [arguments of train.py]
# Environment: NNODES, NODE_RANK, MASTER_ADDR, PORT for several nodes; MMGLAN_DATA for the data.
# mmdet's script is read in place, so that its $0 is this file and it starts our train.py.
set -e
if [ $# -lt 2 ]; then
  echo "error: expected dist_train.sh CONFIG PROCESSES [arguments of train.py] but got $# arguments" >&2
  exit 2
fi
SCRIPT=$(PYTHONPATH="$(dirname "$0")/..:$PYTHONPATH" python -m mmglan.experiments.mmdet_tools dist_train.sh)
# In the place of this shell, so that whoever ends this process ends the launcher and its workers.
python() { exec python "$@"; }
# mmdet's script names its arguments without quotes: split and expand nothing in them.
set -f
IFS=$'\n'
. "$SCRIPT"
