"""Validators and other readers take the DICOM results, and find in them what was written."""

import subprocess
from shutil import which

import numpy as np
import pydicom
import pytest
from scan_storages import DICOM

from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.volumes.dicom_source import read_source_slices
from data_prep.volumes.volume import read_volume
from mmglan.inference.outputs import FORMATS, Result, make_files
from mmglan.inference.outputs.dicom_sr import TOOL


@pytest.fixture(params=DICOM)
def storage(request):
    return request.param


@pytest.fixture
def results(scan_in, detector, storage, tmp_path):
    """Result of a scan in DICOM, and the folder of its files."""
    path = scan_in(storage)
    volume = read_volume(path)
    result = Result(*detector.detect_in(volume), volume, read_source_slices(path, volume))
    (tmp_path / "out").mkdir()
    for name, content in make_files(result, FORMATS).items():
        (tmp_path / "out" / name).write_bytes(content)
    return result, tmp_path / "out"


def test_the_validator_finds_no_error(results):
    if which("dciodvfy") is None:
        pytest.skip("dciodvfy (Debian package dicom3tools) not installed")
    for name in ("findings.sr.dcm", "findings.seg.dcm"):
        done = subprocess.run(
            ["dciodvfy", results[1] / name], capture_output=True, text=True, check=False
        )
        lines = (done.stdout + done.stderr).splitlines()
        assert [line for line in lines if line.startswith("Error")] == []
        assert done.returncode == 0 and lines


def test_our_reader_makes_bookmarks_of_the_report(results, storage, scan_in):
    result, out = results
    root = out.parent / "scans"
    records = read_bookmarks(out / "findings.sr.dcm", image_root=root).records
    assert len(records) == len(result.findings.lesions) == 2
    for record, lesion in zip(records, result.findings.lesions, strict=True):
        points = np.asarray(record.points)
        written = (*lesion.recist.long_axis_lps, *lesion.recist.short_axis_lps)
        if points.shape[1] == 3:
            assert np.abs(points - written).max() < 0.01
        else:
            pixels = np.array([*lesion.recist.long_axis, *lesion.recist.short_axis])
            index = np.column_stack([pixels, np.full(4, lesion.recist.slice_index)])
            stored = result.volume.grid.stored_index(index)
            assert np.abs(points - stored[:, :2]).max() < 0.001


def test_the_segmentation_holds_every_voxel_on_its_image(results):
    result, out = results
    data = pydicom.dcmread(out / "findings.seg.dcm")
    stored = result.volume.grid.to_stored(result.labels)
    frames = np.zeros(stored.shape, np.uint16)
    places = {(str(s.header.SOPInstanceUID), s.frame): k for k, s in enumerate(result.sources)}
    for pixels, group in zip(data.pixel_array, data.PerFrameFunctionalGroupsSequence, strict=True):
        source = group.DerivationImageSequence[0].SourceImageSequence[0]
        frame = source.get("ReferencedFrameNumber")
        k = places[str(source.ReferencedSOPInstanceUID), None if frame is None else int(frame)]
        frames[k][pixels > 0] = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
    assert np.array_equal(frames, stored) and stored.max() == 2


def test_results_stay_in_the_study(results):
    result, out = results
    source = result.sources[0].header
    for name in ("findings.sr.dcm", "findings.seg.dcm"):
        data = pydicom.dcmread(out / name)
        assert data.StudyInstanceUID == source.StudyInstanceUID
        assert data.PatientID == source.PatientID
        assert data.SeriesInstanceUID != source.SeriesInstanceUID
    assert data.FrameOfReferenceUID == source.FrameOfReferenceUID


def test_two_runs_give_the_same_bytes(results):
    result, out = results
    for name, content in make_files(result, ("dicom-sr", "dicom-seg")).items():
        assert (out / name).read_bytes() == content


def test_every_lesion_is_named_for_ohif(results):
    data = pydicom.dcmread(results[1] / "findings.sr.dcm")
    texts = [e.value for e in data.iterall() if e.keyword == "TextValue"]
    assert [t for t in texts if t.startswith(TOOL)] == [f"{TOOL}:lesion-{n}" for n in (1, 2)]
