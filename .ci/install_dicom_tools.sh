#!/usr/bin/env bash
# Installs dciodvfy, with which DICOM results are validated (Debian, Ubuntu). Does nothing where it
# is there; without apt-get or the rights for it, the tests name the missing validator.
set -euo pipefail
if command -v dciodvfy >/dev/null; then
    exit 0
fi
if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
    echo "No dciodvfy here and no rights to install it: its tests will be skipped." >&2
    exit 0
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends dicom3tools >/dev/null
