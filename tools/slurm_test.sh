#!/usr/bin/env bash
# Test under Slurm: slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of test.py]
# Environment: GPUS, GPUS_PER_NODE, CPUS_PER_TASK, SRUN_ARGS; MMGLAN_DATA for the data.
set -e
if [ $# -lt 4 ]; then
  echo "error: expected slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of test.py] but got $# arguments" >&2
  exit 2
fi
cd "$(dirname "$0")/.."
SCRIPT=$(PYTHONPATH="$(dirname "$0")/..:$PYTHONPATH" python -m mmglan.experiments.mmdet_tools slurm_test.sh)
. "$SCRIPT"
