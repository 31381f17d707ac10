"""Faults while a command writes: nothing half-written, no leftover, the same bytes afterwards."""

import contextlib
import functools
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from data_prep.phantoms import abdomen
from mmglan.commands import console

QUICK = ("prepare", "evaluate", "report", "plot-detections", "tables", "review")
SLOW = ("verify", "score-masks", "infer")
COMMANDS = (*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Inputs of all commands."""
    folder = tmp_path_factory.mktemp("base")
    abdomen.write_dataset(
        folder / "raw", 4, n_nodes=2, n_empty=0, shape=(6, 64, 64), spacing_mm=(5.0, 5.0, 5.0)
    )
    (folder / "run").mkdir()
    assert _call(_words("prepare", folder, folder / "data"))[0] == 0
    test = json.loads((folder / "data" / "annotations" / "test.json").read_bytes())
    rng = np.random.default_rng(0)
    rows = [
        {key: lesion[key] for key in ("image_id", "category_id", "bbox")}
        | {"score": float(rng.random())}
        for lesion in test["annotations"]
    ]
    (folder / "run" / "results.bbox.json").write_text(json.dumps(rows))
    words = _words("evaluate", folder, folder / "run")
    assert _call(words)[0] == 0
    return folder


@functools.cache
def _model(folder):
    """Write an untrained model, by a process of its own: forks of this one have no PyTorch yet."""
    code = (
        "import sys; from pathlib import Path; from tiny_models import make_tiny_model\n"
        "make_tiny_model(*map(Path, sys.argv[1:]))"
    )
    root = Path(__file__).resolve().parents[1]
    path = os.pathsep.join(map(str, (root / "tests" / "helpers", root)))
    environment = {**os.environ, "PYTHONPATH": path}
    folder.mkdir(exist_ok=True)
    subprocess.run([sys.executable, "-c", code, root, folder], env=environment, check=True)
    return folder / "tiny.py", folder / "tiny.pth"


def _words(name, base, out):
    """Command line of a command that writes all it does into `out`."""
    raw, data, run = base / "raw", base / "data", base / "run"
    gt = ["--gt", data / "annotations" / "test.json", "--quiet"]
    results = run / "results.bbox.json"
    words = {
        "prepare": ["--images", raw / "images", "--bookmarks", raw / "bookmarks.csv"]
        + ["--out-dir", out, "--split", "0.5,0.25,0.25", "--overlays", 2, "--quiet"],
        "verify": [data, "--out-dir", out, "--quiet"],
        "score-masks": ["--images", raw / "images", "--masks", raw / "masks"]
        + ["--out-dir", out, "--bootstrap", 9, "--quiet"],
        "evaluate": [*gt, "--pred", results, "--out", out / "results.metrics.json"]
        + ["--bootstrap", 9],
        "report": [run, *gt, "--images", data / "images", "--out", out / "report.html"],
        "plot-detections": [*gt, "--pred", results, "--images", data / "images"]
        + ["--out", out / "sheet.png"],
        "tables": [run, "--out-dir", out],
        "review": [raw / "images", "--bookmarks", raw / "bookmarks.csv"]
        + ["--out-dir", out, "--quiet"],
    }
    if name == "infer":
        scans = [*sorted((raw / "images").iterdir()), "--out-dir", out, "--quiet"]
        words[name] = [*_model(base / "model"), *scans, "--threshold", 0.2]
    return [name, *map(str, words[name])]


def _child(words, said, prepare):
    with open(said, "w") as stream:
        for number in (1, 2):
            os.dup2(stream.fileno(), number)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    if prepare is not None:
        prepare()
    status = 99
    try:
        status = console.main(words)
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # the disk is full
                stream.flush()
        os._exit(status)


def _start(words, said, prepare=None):
    process = multiprocessing.get_context("fork").Process(
        target=_child, args=(words, said, prepare)
    )
    process.start()
    return process


def _call(words, prepare=None, said=os.devnull):
    """Run a command in a process of its own; returns its exit status and what it said."""
    process = _start(words, said, prepare)
    process.join()
    text = "" if said == os.devnull else said.read_text()
    assert "Traceback" not in text, text
    return process.exitcode, text


def _files(folder):
    found = (p for p in folder.rglob("*") if p.is_file() and p.name != "lock")
    return {str(p.relative_to(folder)): p.read_bytes() for p in found}


@pytest.fixture(scope="module")
def wanted(base, tmp_path_factory):
    """Function that gives what an undisturbed run of a command writes, and its seconds."""

    @functools.cache
    def run(name):
        out = tmp_path_factory.mktemp("whole") / "out"
        began = time.monotonic()
        assert _call(_words(name, base, out))[0] == 0, name
        return _files(out), time.monotonic() - began

    return run


def _check_whole(out, whole):
    """No file but those of an undisturbed run, each with its bytes."""
    for name, content in _files(out).items() if out.exists() else ():
        assert whole.get(name) == content, name


def _full_disk():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, resource.RLIM_INFINITY))


@pytest.mark.parametrize("name", COMMANDS)
def test_full_disk(base, wanted, tmp_path, name):
    whole, _ = wanted(name)
    out = tmp_path / "out"
    status, _ = _call(_words(name, base, out), _full_disk, tmp_path / "said")
    # What is told may itself be cut off.
    assert status == 2 or (status == 1 and not any(len(c) > 200 for c in _files(out).values()))
    if name != "prepare":
        _check_whole(out, whole)
    assert _call(_words(name, base, out))[0] == 0
    assert _files(out) == whole


@pytest.mark.parametrize("name", COMMANDS)
def test_read_only_folder(base, tmp_path, name):
    out = tmp_path / "out"
    out.mkdir(mode=0o555)
    os.chmod(tmp_path, 0o755)
    user = (lambda: os.seteuid(65534)) if os.geteuid() == 0 else None
    for path in base.parents:
        if path.stat().st_uid == os.geteuid() and path != path.parent:
            path.chmod(path.stat().st_mode | 0o055)
    (tmp_path / "said").write_text("")
    os.chmod(tmp_path / "said", 0o666)
    status, said = _call(_words(name, base, out), user, tmp_path / "said")
    assert status == 2 and "error: " in said, said
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_two_runs_in_one_folder(base, wanted, tmp_path, name):
    out = tmp_path / "out"
    both = [_start(_words(name, base, out), tmp_path / f"said{i}") for i in range(2)]
    for process in both:
        process.join()
    statuses = sorted(process.exitcode for process in both)
    assert statuses in ([0, 0], [0, 2])
    if statuses == [0, 2]:
        assert any("in use" in (tmp_path / f"said{i}").read_text() for i in range(2))
    assert _files(out) == wanted(name)[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_clock_jump(base, wanted, tmp_path, name):
    out = tmp_path / "out"
    assert _call(_words(name, base, out))[0] == 0
    for path in out.rglob("*"):
        os.utime(path, (4e9, 4e9))  # written in the year 2096
    assert _call(_words(name, base, out))[0] == 0
    assert _files(out) == wanted(name)[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_vanished_file(base, tmp_path, name):
    copy, out = tmp_path / "copy", tmp_path / "out"
    shutil.copytree(base, copy)
    gone = {
        "prepare": sorted((copy / "raw" / "images").iterdir())[0],
        "score-masks": sorted((copy / "raw" / "masks").iterdir())[0],
        "verify": sorted((copy / "data" / "images").rglob("*.png"))[0],
        "evaluate": copy / "run" / "results.bbox.json",
        "report": copy / "run" / "results.bbox.json",
        "tables": copy / "run" / "results.metrics.json",
        "review": copy / "raw" / "bookmarks.csv",
        "infer": sorted((copy / "raw" / "images").iterdir())[0],
    }.get(name, copy / "data" / "annotations" / "test.json")
    words = _words(name, copy, out)
    gone.unlink()
    status, said = _call(words, None, tmp_path / "said")
    shown = gone.name.removesuffix(".nii.gz")
    assert status in (1, 2) and (shown in said or "results.metrics.json" in said), said


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK + SLOW)
def test_killed(base, wanted, tmp_path, name):
    whole, seconds = wanted(name)
    for share in np.linspace(0.1, 0.95, 8):
        out = tmp_path / f"out{share:.2f}"
        process = _start(_words(name, base, out), os.devnull)
        time.sleep(share * seconds)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        if name != "prepare":  # its state says what is done
            _check_whole(out, whole)
        assert _call(_words(name, base, out))[0] == 0
        assert _files(out) == whole
