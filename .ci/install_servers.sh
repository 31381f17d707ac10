#!/usr/bin/env bash
# Installs PostgreSQL and Slurm, which tests of sweeps and jobs start (Debian, Ubuntu). Does nothing
# where both are there; without apt-get or the rights for it, the tests name the missing server.
set -euo pipefail
if ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && command -v slurmctld slurmd munged >/dev/null; then
    exit 0
fi
if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
    echo "No PostgreSQL or Slurm here and no rights to install them: their tests will be skipped." >&2
    exit 0
fi
apt-get update -qq || true
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    postgresql slurm-wlm munge >/dev/null ||
    echo "PostgreSQL or Slurm could not be installed: their tests will be skipped." >&2
