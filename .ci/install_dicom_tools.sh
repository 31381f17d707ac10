#!/usr/bin/env bash
# Installs what DICOM results and objects are tried with (Debian, Ubuntu): dciodvfy, Plastimatch, the
# PACS Orthanc, and OHIF's library for Node. Does nothing where they are there; without apt-get or the rights for it, the
# tests name what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
missing=()
command -v dciodvfy >/dev/null || missing+=(dicom3tools)
command -v storescu >/dev/null || missing+=(dcmtk)
command -v Orthanc >/dev/null || missing+=(orthanc)
command -v plastimatch >/dev/null || missing+=(plastimatch)
[ -e /usr/share/orthanc/plugins/libOrthancDicomWeb.so ] || missing+=(orthanc-dicomweb)
command -v npm >/dev/null || missing+=(nodejs npm)
if [ ${#missing[@]} -gt 0 ]; then
    if command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ]; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            "${missing[@]}" >/dev/null
    else
        echo "No ${missing[*]} here and no rights to install: their tests will be skipped." >&2
    fi
fi
if command -v npm >/dev/null && [ ! -e tests/inference/node/node_modules/.package-lock.json ]; then
    (cd tests/inference/node && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) ||
        echo "The npm packages could not be installed: their tests will be skipped." >&2
fi
