#!/usr/bin/env bash
# Installs Chromium and its driver for the report's browser tests (Debian, Ubuntu). Does nothing
# where both are there; without apt-get or the rights for it, the tests name the missing browser.
set -euo pipefail
if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then
    exit 0
fi
if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
    echo "No Chromium here and no rights to install it: the browser tests will be skipped." >&2
    exit 0
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    chromium chromium-driver >/dev/null
