"""`mmglan infer` with a tiny detector: from files to files, again, and with a broken scan."""

import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scan_storages import spots, store

from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.dataset.one_volume.slice_selection import Slices
from mmglan.commands.infer import FORMAT_NAMES, main, parse_args
from mmglan.detections.findings import Findings
from mmglan.inference.outputs import FORMATS


@pytest.fixture(scope="module")
def model(tiny_model):
    """Config and untrained weights of our detector in its tiny form."""
    return list(tiny_model)


@pytest.fixture
def scans(tmp_path):
    """One NIfTI file, one DICOM series."""
    folder = tmp_path / "in"
    store(spots(), "axial", folder / "LEAK_b")
    store(spots(), "nifti", folder / "LEAK_a")
    return folder


def content(folder):
    """Bytes of all results, without the state of the run."""
    files = [p for p in folder.rglob("*") if p.is_file() and ".state" not in p.parts]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def findings_of(folder):
    return Findings.from_json(json.loads((folder / "findings.json").read_text()))


def run(model, scans, out, *more):
    return main([*model, str(scans), "--out-dir", str(out), "--quiet", *more])


def test_all_formats_of_two_scans(model, scans, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(model, scans, out, "--threshold", "0.4", "--ids", str(tmp_path / "ids.csv")) == 0
    assert "2 of 2 scans done." in capsys.readouterr().out
    files = content(out)
    dicom = {"findings.sr.dcm", "findings.seg.dcm"}
    names = {kind.file_name for kind in FORMATS.values()}
    made = {"/".join(file.split("/")[:2]) for file in files}  # overlays is a folder
    assert made == {f"v0001/{n}" for n in names - dicom} | {f"v0002/{n}" for n in names}
    one, two = (
        Findings.from_json(json.loads(files[f"{name}/findings.json"]))
        for name in ("v0001", "v0002")
    )
    assert one.lesions and one.lesions == two.lesions  # the same voxels in two storages
    assert all(lesion.score >= 0.4 for lesion in one.lesions)
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "v0001/labels.nii.gz")))
    assert labels.max() <= len(one.lesions)
    ids = (tmp_path / "ids.csv").read_text().splitlines()
    assert ids[0] == "volume_id,volume" and ids[1].startswith("v0001,") and len(ids) == 3
    # Only the DICOM results may name the patient.
    assert not any(b"LEAK" in data for name, data in files.items() if not name.endswith(".dcm"))


def test_a_second_run_writes_nothing_and_other_options_are_refused(model, scans, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(model, scans, out, "--formats", "csv") == 0
    before, times = content(out), [p.stat().st_mtime_ns for p in sorted(out.glob("v*"))]
    assert run(model, scans, out, "--formats", "csv") == 0
    assert [p.stat().st_mtime_ns for p in sorted(out.glob("v*"))] == times
    assert set(before) == {f"v000{n}/findings.{kind}" for n in (1, 2) for kind in ("csv", "json")}
    assert run(model, scans, out, "--formats", "csv", "--threshold", "0.5") == 2
    assert "threshold None there and 0.5 here" in capsys.readouterr().err
    shutil.rmtree(out / "v0002")  # as if the run had been interrupted
    assert run(model, scans, out, "--formats", "csv", "--jobs", "2") == 0
    assert content(out) == before


def test_a_broken_scan_leaves_the_others_alone(model, scans, tmp_path, capsys):
    (scans / "A_broken.nii.gz").write_bytes(b"no image")
    assert run(model, scans, tmp_path / "out", "--formats", "json") == 1
    said = capsys.readouterr()
    assert "2 of 3 scans done." in said.out
    assert said.err.startswith("error: v0001: A_broken.nii.gz: ") and said.err.count("\n") == 1
    assert sorted(p.name for p in (tmp_path / "out").glob("v*")) == ["v0002", "v0003"]


def test_dicom_results_need_a_dicom_scan(model, scans, tmp_path, capsys):
    assert run(model, scans / "LEAK_a", tmp_path / "out", "--formats", "dicom-sr") == 1
    assert "Expected a DICOM series to refer to" in capsys.readouterr().err


def test_a_type_of_dicom_results_needs_a_dicom_scan(model, scans, tmp_path, capsys):
    assert run(model, scans, tmp_path / "out", "--seg-type", "labelmap") == 1
    said = capsys.readouterr()
    assert "1 of 2 scans done." in said.out
    assert "error: v0001: LEAK_a/scan.nii.gz: Expected a DICOM series with --seg-type" in said.err


@pytest.mark.parametrize("again", ["", "LEAK_a", "LEAK_a/scan.nii.gz"])
def test_a_scan_that_is_given_twice_is_refused(model, scans, tmp_path, capsys, again):
    words = [*model, str(scans), str(scans / again), "--out-dir", str(tmp_path / "out")]
    assert main(words) == 2
    assert "Expected each scan once" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fault", ["input", "weights", "ids"])
def test_bad_usage(model, scans, tmp_path, capsys, fault):
    more = []
    if fault == "input":
        scans = tmp_path / "nothing"
    elif fault == "ids":
        more = ["--ids", str(tmp_path / "out/ids.csv")]
    else:
        torch.save({"state_dict": {}}, tmp_path / "other.pth")
        model = [model[0], str(tmp_path / "other.pth")]
    assert run(model, scans, tmp_path / "out", *more) == 2
    said = {
        "input": "found nothing there",
        "weights": "is not there",
        "ids": "outside of --out-dir",
    }
    assert said[fault] in capsys.readouterr().err


def test_the_table_gives_bookmarks(model, scans, tmp_path):
    assert run(model, scans / "LEAK_a", tmp_path / "out") == 0
    findings = findings_of(tmp_path / "out/v0001")
    records = read_bookmarks(tmp_path / "out/v0001/findings.csv").records
    assert len(records) == sum(lesion.recist is not None for lesion in findings.lesions)


def test_the_command_offers_every_format():
    assert set(FORMATS) == set(FORMAT_NAMES)


@pytest.mark.parametrize("text", ["window", "wnidow:0,1", "window:5,5", "slice"])
def test_a_normalisation_that_is_none_is_refused(tmp_path, capsys, text):
    with pytest.raises(SystemExit) as stopped:
        parse_args(["c.py", "w.pth", "scan", "--out-dir", "out", "--normalize", text])
    assert stopped.value.code == 2 and f"got {text}" in capsys.readouterr().err
    with pytest.raises(ValueError, match="expected image, volume or window"):
        Slices(np.zeros((2, 4, 4)), text)


def test_an_archive_and_the_choice_of_series(model, scans, tmp_path, capsys):
    archive, out = shutil.make_archive(str(tmp_path / "study"), "zip", scans), tmp_path / "out"
    more = ["--formats", "json", "--modality", "mr", "--ids", str(tmp_path / "ids.csv")]
    assert run(model, archive, out, *more) == 1
    said = capsys.readouterr()
    assert "1 of 2 scans done." in said.out and "Expected DICOM for --modality mr" in said.err
    assert "study.zip/LEAK_b" in (tmp_path / "ids.csv").read_text()
    written = content(out)
    assert run(model, archive, out, *more) == 1 and content(out) == written  # it goes on
    assert run(model, archive, out, *more, "--series-description", "t2") == 2
    assert "series" in capsys.readouterr().err
    assert run(model, scans, tmp_path / "none", "--modality", "pt") == 1
    assert "1 DICOM series do not fit --modality pt" in capsys.readouterr().out
