#!/usr/bin/env bash
# Train under Slurm: slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [arguments of train.py]
# Environment: GPUS, GPUS_PER_NODE, CPUS_PER_TASK, SRUN_ARGS; MMGLAN_DATA for the data.
set -e
if [ $# -lt 4 ]; then
  echo "error: expected slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [arguments of train.py] but got $# arguments" >&2
  exit 2
fi
SCRIPT=$(PYTHONPATH="$(dirname "$0")/..:$PYTHONPATH" python -m mmglan.experiments.mmdet_tools slurm_train.sh)
# mmdet's script starts tools/train.py of the current folder: let it be the one beside this file.
HERE=$(dirname "$0")
srun() {
  local words=() word
  for word in "$@"; do
    [ "$word" = tools/train.py ] && word=$HERE/train.py
    words+=("$word")
  done
  command srun "${words[@]}"
}
. "$SCRIPT"
