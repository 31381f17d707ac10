"""Validators and other readers take the DICOM results, and find in them what was written."""

import subprocess
from shutil import which

import numpy as np
import pydicom
import pytest
from scan_storages import labels_of_seg

from data_prep.bookmarks.read_bookmarks import read_bookmarks
from mmglan.inference.outputs import make_files
from mmglan.inference.outputs.dicom_sr import TOOL


def test_the_validator_finds_no_error(written):
    if which("dciodvfy") is None:
        pytest.skip("dciodvfy (Debian package dicom3tools) not installed")
    for name in ("findings.sr.dcm", "findings.seg.dcm"):
        done = subprocess.run(
            ["dciodvfy", written.folder / name], capture_output=True, text=True, check=False
        )
        lines = (done.stdout + done.stderr).splitlines()
        assert [line for line in lines if line.startswith("Error")] == []
        assert done.returncode == 0 and lines


def test_our_reader_makes_bookmarks_of_the_report(written):
    result = written.result
    report = written.folder / "findings.sr.dcm"
    records = read_bookmarks(report, image_root=written.folder.parent / "scans").records
    assert len(records) == len(result.findings.lesions) == 2
    for record, lesion in zip(records, result.findings.lesions, strict=True):
        points = np.asarray(record.points)
        ends = (*lesion.recist.long_axis_lps, *lesion.recist.short_axis_lps)
        if points.shape[1] == 3:
            assert np.abs(points - ends).max() < 0.001
        else:
            pixels = np.array([*lesion.recist.long_axis, *lesion.recist.short_axis])
            index = np.column_stack([pixels, np.full(4, lesion.recist.slice_index)])
            stored = result.volume.grid.stored_index(index)
            assert np.abs(points - stored[:, :2]).max() < 0.001


def test_the_segmentation_holds_every_voxel_on_its_image(written):
    result = written.result
    stored = result.volume.grid.to_stored(result.labels)
    content = (written.folder / "findings.seg.dcm").read_bytes()
    assert np.array_equal(labels_of_seg(content, result.sources, stored.shape), stored)
    assert stored.max() == 2


def test_results_stay_in_the_study(written):
    source = written.result.sources[0].header
    for name in ("findings.sr.dcm", "findings.seg.dcm"):
        data = pydicom.dcmread(written.folder / name)
        assert data.StudyInstanceUID == source.StudyInstanceUID
        assert data.PatientID == source.PatientID
        assert data.SeriesInstanceUID != source.SeriesInstanceUID
    assert data.FrameOfReferenceUID == source.FrameOfReferenceUID


def test_two_runs_give_the_same_bytes(written):
    for name, content in make_files(written.result, ("dicom-sr", "dicom-seg")).items():
        assert (written.folder / name).read_bytes() == content


def test_every_lesion_is_named_for_ohif(written):
    data = pydicom.dcmread(written.folder / "findings.sr.dcm")
    texts = [e.value for e in data.iterall() if e.keyword == "TextValue"]
    assert [t for t in texts if t.startswith(TOOL)] == [f"{TOOL}:lesion-{n}" for n in (1, 2)]
