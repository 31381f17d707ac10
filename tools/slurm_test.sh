#!/usr/bin/env bash
# Test under Slurm: slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of test.py]
# Environment: GPUS, GPUS_PER_NODE, CPUS_PER_TASK, SRUN_ARGS; MMGLAN_DATA for the data.
# As mmdet's script of this name, but for words with spaces, which that takes apart.
set -e
if [ $# -lt 4 ]; then
  echo "error: expected slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of test.py] but got $# arguments" >&2
  exit 2
fi
HERE=$(dirname "$0")
export PYTHONPATH="$HERE/..:$PYTHONPATH"
# shellcheck disable=SC2086  # SRUN_ARGS are several words
exec srun -p "$1" --job-name="$2" --gres="gpu:${GPUS_PER_NODE:-8}" --ntasks="${GPUS:-8}" \
  --ntasks-per-node="${GPUS_PER_NODE:-8}" --cpus-per-task="${CPUS_PER_TASK:-5}" \
  --kill-on-bad-exit=1 $SRUN_ARGS \
  python -u "$HERE/test.py" "$3" "$4" --launcher=slurm "${@:5}"
