"""Every command runs on a study whose every field holds a marker; no output holds one."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from marked_study import DATE, MARKER, UID_MARKER, found_in, write_study

from data_prep.phantoms import abdomen
from data_prep.volumes.volume import read_volume
from mmglan.commands.subcommands import SUBCOMMANDS
from mmglan.detections.findings import Findings, ScanGeometry

REPOSITORY = Path(__file__).resolve().parents[1]
NEEDLES = (MARKER, UID_MARKER, DATE)
PLACE = "XQZJVPLACE"  # part of the names of the volumes' folders
SPACING = (5.0, 5.0, 5.0)
# They read neither scans nor anything that is made from them.
WITHOUT_DATA = {"phantom", "configs", "diff-configs", "convert-checkpoint", "doctor"}
# They run the others as commands of their own.
JOINED = {"demo", "evidence", "public-set", "run-table", "sweep"}
# They read run directories or whole volumes; they are not tried on the marked study yet.
NOT_YET = {"package", "fpr"}
QUICK = {"prepare", "verify", "score-masks", "evaluate", "compare", "plot-detections", "report"}
QUICK |= {"plot-froc", "plot-sigmas", "tables", "review", "followup", "mine"}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Marked DICOM series of four phantoms, their masks and bookmarks, in a marked folder."""
    folder = tmp_path_factory.mktemp("study") / f"{MARKER}_hospital"
    bookmarks = abdomen.write_dataset(
        folder / "raw", 4, n_nodes=2, n_empty=0, shape=(6, 64, 64), spacing_mm=SPACING
    )
    for path in (folder / "raw" / "masks").iterdir():
        path.rename(path.with_name(f"{PLACE}_{path.name}"))
    volumes = {
        f"{PLACE}_{path.name.removesuffix('.nii.gz')}": sitk.GetArrayFromImage(
            sitk.ReadImage(str(path))
        )
        for path in sorted((folder / "raw" / "images").iterdir())
    }
    write_study(folder / "dicom", volumes, SPACING)
    table = bookmarks.read_text().replace(".nii.gz", "").replace("phantom_", f"{PLACE}_phantom_")
    (folder / "bookmarks.csv").write_text(table)
    return folder


RUNNER = """
import json, os, sys
from mmglan.commands.console import main
for arguments in json.load(sys.stdin):
    status = main(arguments)
    print(f"{arguments[0]} ended with {status}", flush=True)
"""


def run_all(commands, folder, **environment):
    """Run commands in one process, where all warnings are shown; returns what it said."""
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", RUNNER],
        input=json.dumps([[str(word) for word in command] for command in commands]),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    for command in commands:
        assert f"{command[0]} ended with 0" in said, said
    assert "ended with 1" not in said and "ended with 2" not in said, said
    return said


@pytest.fixture(scope="module")
def called(study, tmp_path_factory):
    """Run the quick commands; returns the folder of all that they wrote, and what they said."""
    work = tmp_path_factory.mktemp("written")
    data, run, ids = work / "data", work / "run", study / "ids.csv"
    source = ["--images", study / "dicom", "--bookmarks", study / "bookmarks.csv", "--quiet"]
    split = ["--split", "0.5,0.25,0.25", "--overlays", 2, "--keep-empty", "all", "--ids", ids]
    masks = ["--masks", study / "raw" / "masks", "--out-dir", work / "masks", "--bootstrap", 9]
    first = [
        ["prepare", *source, "--out-dir", work / "check", "--check"],
        ["prepare", *source, "--out-dir", data, *split],
        ["verify", data, "--out-dir", work / "verified", "--quiet"],
        ["score-masks", "--images", study / "dicom", *masks, "--quiet"],
    ]
    first += _review_commands(study, work)
    said = run_all(first, work)
    _fabricate_run(data, run)
    gt = ["--gt", data / "annotations" / "test.json", "--quiet"]
    results, metrics = run / "results.bbox.json", run / "results.metrics.json"
    last = [
        ["evaluate", *gt, "--pred", results, "--out", metrics, "--bootstrap", 9],
        ["compare", *gt, "--pred-a", results, "--pred-b", results, "--bootstrap", 9],
        ["report", run, *gt, "--images", data / "images"],
        ["plot-detections", *gt, "--pred", results, "--images", data / "images"],
        ["plot-froc", metrics],
        ["plot-sigmas", run],
        ["tables", run],
    ]
    said += run_all(last, work)
    assert {command[0] for command in first + last} == QUICK
    return work, said, ids


def _review_commands(study, work):
    """Pages of the study; follow-up and mining of findings without a lesion."""
    scan = min(path.parent for path in (study / "dicom").rglob("*") if path.is_file())
    marks, found = work / "marks.json", work / "found" / "v0001" / "findings.json"
    marks.write_text(json.dumps({"schema": 1, "volume_id": "v0001", "marks": []}))
    geometry = ScanGeometry.of(read_volume(scan))
    found.parent.mkdir(parents=True)
    found.write_text(json.dumps(Findings("v0001", geometry, ()).to_json()))
    pages = ["--bookmarks", study / "bookmarks.csv", "--out-dir", work / "pages", "--quiet"]
    place = ["--out-dir", work / "followup", "--registration", "none"]
    return [
        ["review", study / "dicom", *pages],
        ["followup", scan, scan, "--marks", marks, marks, *place],
        ["mine", work / "found", work / "found", "--out", work / "mined.csv"],
    ]


def _fabricate_run(data, run):
    """Write results of the test set and a training log."""
    test = json.loads((data / "annotations" / "test.json").read_bytes())
    rng = np.random.default_rng(0)
    rows = [
        {key: lesion[key] for key in ("image_id", "category_id", "bbox")}
        | {"score": float(rng.random())}
        for lesion in test["annotations"]
    ]
    log = run / "20260101_000000" / "vis_data" / "scalars.json"
    log.parent.mkdir(parents=True)
    log.write_text("".join(f'{{"sigma/cls": 1.0, "iter": {i}, "step": {i}}}\n' for i in (1, 2)))
    (run / "results.bbox.json").write_text(json.dumps(rows))


def test_no_output_of_the_quick_commands_holds_the_marker(called):
    work, said, _ = called
    assert found_in(work, *NEEDLES) == []
    assert [needle for needle in NEEDLES if needle in said] == []
    # The scores of masks name the volumes: they are read beside them.
    assert [name.partition(":")[0] for name in found_in(work, PLACE)] == ["masks/scores.csv"]


def test_every_command_is_tried_or_reads_no_data():
    slow = {"train", "test", "infer"}
    assert set(SUBCOMMANDS) == QUICK | slow | WITHOUT_DATA | JOINED | NOT_YET


def test_the_table_of_pseudonyms_is_for_its_owner_only(called):
    ids = called[2]
    assert PLACE in ids.read_text()  # the one place where a name may stand
    assert stat.S_IMODE(ids.stat().st_mode) == 0o600


@pytest.mark.slow
def test_no_output_of_training_and_inference_holds_the_marker(study, called, tmp_path):
    data, run = called[0] / "data", tmp_path / "run"
    config, checkpoint = "glan_r18_demo", run / "epoch_1.pth"
    short = ["train_cfg.max_epochs=1", "train_cfg.val_interval=1"]
    short += ["default_hooks.checkpoint.interval=1"]
    found = ["--out-dir", tmp_path / "findings", "--threshold", "0.01", "--quiet"]
    formats = ["--formats", "json", "csv", "labels", "slicer", "coco"]  # DICOM belongs to patients
    said = ""
    for command in (
        ["train", config, "--work-dir", run, "--cfg-options", *short],
        ["test", config, checkpoint, "--work-dir", run],
        ["infer", config, checkpoint, study / "dicom", *found, *formats],
    ):
        said += run_all([command], tmp_path, MMGLAN_DATA=f"{data}/")
    assert (tmp_path / "findings").is_dir() and checkpoint.is_file()
    assert found_in(tmp_path, *NEEDLES, PLACE) == []
    assert [needle for needle in (*NEEDLES, PLACE) if needle in said] == []
