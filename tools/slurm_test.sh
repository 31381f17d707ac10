#!/usr/bin/env bash
# Test under Slurm: slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of test.py]
# Environment: GPUS, GPUS_PER_NODE, CPUS_PER_TASK, SRUN_ARGS; MMGLAN_DATA for the data.
set -e
if [ $# -lt 4 ]; then
  echo "error: expected slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of test.py] but got $# arguments" >&2
  exit 2
fi
SCRIPT=$(PYTHONPATH="$(dirname "$0")/..:$PYTHONPATH" python -m mmglan.experiments.mmdet_tools slurm_test.sh)
# mmdet's script starts tools/test.py of the current folder: let it be the one beside this file.
HERE=$(dirname "$0")
srun() {
  local words=() word
  for word in "$@"; do
    [ "$word" = tools/test.py ] && word=$HERE/test.py
    words+=("$word")
  done
  command srun "${words[@]}"
}
. "$SCRIPT"
