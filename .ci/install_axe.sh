#!/usr/bin/env bash
# Installs axe-core, with which the browser tests check the accessibility of the pages, below
# tests/review. Does nothing where it is there; without npm its test is skipped.
set -euo pipefail
cd "$(dirname "$0")/../tests/review"
if [ -f node_modules/axe-core/axe.min.js ]; then
    exit 0
fi
if ! command -v npm >/dev/null; then
    echo "No npm here: the test of accessibility will be skipped." >&2
    exit 0
fi
npm install --silent --no-audit --no-fund --no-package-lock ||
    echo "axe-core could not be installed: the test of accessibility will be skipped." >&2
