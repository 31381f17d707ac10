#!/usr/bin/env bash
# Sets up .venv with torch, mmcv with its compiled operators, and mmglan in editable mode.
# Needs Python 3.10+ with venv and a C++ compiler. A second run finds the stamp and does nothing.
# Settings: PYTHON (interpreter), VENV (folder), TORCH (requirement, default from constraints.txt), MAX_JOBS,
# FAMILY (onedl, or openmmlab: the original packages in the versions below).
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}
TORCH=${TORCH:-$(grep '^torch==' constraints.txt)}
FAMILY=${FAMILY:-onedl}
case $FAMILY in
  onedl) mmcv=onedl-mmcv family_pins= ;;
  openmmlab) mmcv=mmcv family_pins=$'mmcv==2.1.0\nmmdet==3.3.0\nmmengine==0.10.7' ;;
  *) echo "error: expected FAMILY as onedl or openmmlab but got '$FAMILY'" >&2; exit 2 ;;
esac
log=$VENV/setup.log
stamp=$VENV/.mmglan-setup

say() { printf '[setup] %s\n' "$*"; }
fail() {
  printf '[setup] FAILED: %s\n' "$*" >&2
  [ -s "$log" ] && { printf '[setup] last lines of %s:\n' "$log" >&2; tail -n 15 "$log" >&2; }
  exit 1
}

wanted=$(cat constraints.txt setup.cfg setup.py tools/setup.sh | cksum; echo "$PWD $TORCH $FAMILY")
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
  say "already set up in $VENV (remove it to start again)"
  exit 0
fi

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
  fail "expected Python 3.10 or newer as '$PYTHON' but got $("$PYTHON" --version 2>&1 || true). Set PYTHON=…"
command -v c++ >/dev/null || fail "expected a C++ compiler (c++) but found none. Install g++ (Debian: apt-get install g++)."

began=$SECONDS
say "environment: $VENV"
[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV" || fail "python -m venv failed (Debian: apt-get install python3-venv)"
: >"$log"
py=$PWD/$VENV/bin/python
# TORCH may name another build than constraints.txt pins: the one installed is what counts.
pins=$VENV/constraints.txt
{ grep -v '^torch==' constraints.txt; echo "$family_pins"; } >"$pins"
pip_install() { "$py" -m pip install -q --disable-pip-version-check -c "$pins" "$@" >>"$log" 2>&1; }

say "build tools and $TORCH"
pip_install 'setuptools>=80,<81' wheel ninja packaging || fail "installing the build tools"
pip_install "$TORCH" numpy || fail "installing $TORCH"
"$py" -m pip freeze | grep '^torch==' >>"$pins" || true

has_ops() { "$py" -c 'import mmcv.ops' >/dev/null 2>&1; }
build_mmcv() {
  # Without build isolation, so that the build finds torch; -g0 -O2 builds three times as fast as
  # the default flags.
  CFLAGS="-g0 -O2 ${CFLAGS:-}" CXXFLAGS="-g0 -O2 ${CXXFLAGS:-}" MAX_JOBS=${MAX_JOBS:-$(nproc)} MMCV_WITH_OPS=1 \
    "$py" -m pip install -v --disable-pip-version-check -c "$pins" --no-build-isolation "$@" "$mmcv" >>"$log" 2>&1 &
  local pid=$! start=$SECONDS
  trap 'kill $pid 2>/dev/null || true' EXIT
  # A terminal gets one line that is rewritten, a log file one line every half minute.
  local every=30 line='%s\n' shown=0 step
  [ -t 1 ] && every=2 line='\r%s   '
  while kill -0 "$pid" 2>/dev/null; do
    sleep 2
    [ $((SECONDS - start - shown)) -ge "$every" ] || continue
    shown=$((SECONDS - start))
    step=$(tail -c 20000 "$log" | grep -aoE '\[[0-9]+/[0-9]+\]' | tail -n 1 || true)
    printf "$line" "[setup] mmcv with its operators: step ${step:-[-]}, $shown s"
  done
  trap - EXIT
  [ -t 1 ] && printf '\n'
  wait "$pid"
}
if ! has_ops; then
  say "mmcv: built once, 6 to 18 minutes on 2 cores; pip keeps the wheel"
  build_mmcv || fail "building $mmcv"
  # A cached wheel may come from a build that found no torch or another one: build it again.
  has_ops || build_mmcv --no-cache-dir --force-reinstall --no-deps || fail "building $mmcv"
fi

say "mmglan and what it needs"
pip_install --no-build-isolation -e ".[$FAMILY,dev]" || fail "installing mmglan"

"$py" -m mmglan doctor || fail "the check of the installation; see the lines above"
printf '%s' "$wanted" >"$stamp"
say "done in $((SECONDS - began)) s"
