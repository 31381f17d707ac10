"""Odd DICOM scans: results where the standard allows them, else one line; nothing half-written."""

import json

import pydicom
import pytest
from scan_storages import spots, store

from mmglan.inference import scan_job
from mmglan.inference.scan_job import DetectorOptions, ScanTask, run_scan

DICOM_FILES = {"findings.sr.dcm", "findings.seg.dcm"}


@pytest.fixture
def infer(tmp_path, detector, monkeypatch):
    """Return what does one scan below `tmp_path` with the stub detector."""
    monkeypatch.setattr(scan_job, "detector_of", lambda options: detector)

    def run(path, formats=None):
        out = tmp_path / "out"
        task = ScanTask(
            tmp_path,
            path.relative_to(tmp_path).as_posix(),
            "v0001",
            out,
            DetectorOptions(("stub",)),
            formats,
        )
        outcome = run_scan(task)
        files = {p.name for p in task.folder.iterdir()} if task.folder.exists() else set()
        return outcome, task.folder, files

    return run


def changed(tmp_path, change, storage="axial"):
    """Write the scan after a change of each header."""
    path = store(spots(spacing=(0.8, 0.8, 2.5)), storage, tmp_path / "LEAK")
    for number, file in enumerate(sorted(path.iterdir()) if path.is_dir() else [path]):
        data = pydicom.dcmread(file)
        change(data, number)
        data.save_as(file)
    return path


PATIENT = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName"),
)


def without_patient(data, number):
    for keyword in PATIENT:
        data.pop(keyword, None)


def odd_patient(data, number):
    data.PatientSex, data.PatientBirthDate, data.StudyTime = "X", "about 1950", "noon"
    data.PatientAge, data.StudyDescription = "070Y", "LEAK study"


@pytest.mark.parametrize("storage", ["axial", "enhanced"])
@pytest.mark.parametrize("change", [without_patient, odd_patient])
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_what_is_missing_of_the_patient_is_left_empty(tmp_path, infer, change, storage):
    outcome, folder, files = infer(changed(tmp_path, change, storage))
    assert outcome.error is None and files >= DICOM_FILES
    for name in DICOM_FILES:
        data = pydicom.dcmread(folder / name)
        assert all(keyword in data for keyword in PATIENT)
        assert (data.PatientSex or "", str(data.PatientBirthDate or "")) == ("", "")
        assert "PatientAge" not in data and "StudyDescription" not in data


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 192", "Wang^XiaoDong=王^小东"),
        ("ISO_IR 100", "Müller^Jürgen"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
    ],
)
def test_names_of_any_script_are_copied(tmp_path, infer, charset, name):
    def rename(data, number):
        data.SpecificCharacterSet, data.PatientName = charset, name

    outcome, folder, files = infer(changed(tmp_path, rename))
    assert outcome.error is None
    for file in DICOM_FILES:
        assert str(pydicom.dcmread(folder / file).PatientName) == name
    for file in files - DICOM_FILES - {"overlays"}:
        content = (folder / file).read_bytes()
        assert not any(part.encode() in content for part in name.split("^"))


@pytest.mark.parametrize("keyword", ["FrameOfReferenceUID", "StudyInstanceUID", "SOPInstanceUID"])
def test_dicom_results_need_identifiers(tmp_path, infer, keyword):
    path = changed(tmp_path, lambda data, number: data.pop(keyword, None))
    outcome, folder, files = infer(path)
    assert outcome.error is None and not files & DICOM_FILES and "labels.nii.gz" in files
    assert outcome.warnings == (f"No DICOM results: the images have no {keyword}.",)
    assert json.loads((folder / "findings.json").read_text())["warnings"] == list(outcome.warnings)


def test_asked_for_dicom_results_without_identifiers_are_an_error(tmp_path, infer):
    path = changed(tmp_path, lambda data, number: data.pop("FrameOfReferenceUID", None))
    outcome, _, files = infer(path, ("dicom-sr",))
    assert "Expected images with a FrameOfReferenceUID" in outcome.error and not files


def sheared(data, number):
    data.ImagePositionPatient = [-11.0, 7.5 + 1.3 * data.InstanceNumber, 2.5 * data.InstanceNumber]


def another_series(data, number):
    if number % 2:
        data.SeriesInstanceUID += ".2"


def cut_off(data, number):
    data.PixelData = data.PixelData if number else b""


@pytest.mark.parametrize("change", [sheared, another_series, cut_off])
def test_a_scan_that_is_no_volume_is_one_line_and_no_folder(tmp_path, infer, change):
    outcome, folder, files = infer(changed(tmp_path, change))
    assert outcome.error.startswith("LEAK/axial") and "\n" not in outcome.error
    assert "Expected" in outcome.error and not files
    assert not any(folder.parent.rglob("*.dcm"))


def test_a_single_slice_is_refused(tmp_path, infer):
    path = store(spots(), "axial", tmp_path / "LEAK")
    for file in sorted(path.iterdir())[1:]:
        file.unlink()
    outcome, _, files = infer(path)
    assert "slice" in outcome.error and "\n" not in outcome.error and not files


def test_no_output_but_dicom_names_the_patient(tmp_path, infer):
    def strange(data, number):
        data.SeriesDescription = data.ProtocolName = data.InstitutionName = "LEAK series"

    path = changed(tmp_path, strange)
    (path / "LEAK.xyz").write_bytes(b"beside")
    outcome, folder, _ = infer(path)
    assert outcome.error is None and outcome.warnings == (
        "1 files beside the slices were left out.",
    )
    for file in folder.rglob("*"):
        assert "LEAK" not in file.name
        if file.is_file() and file.name not in DICOM_FILES:
            content = file.read_bytes()
            assert b"LEAK" not in content and b"19500102" not in content
            assert b"1.2.826" not in content and b"20200102" not in content
    for name in DICOM_FILES:
        data = pydicom.dcmread(folder / name)
        assert (data.PatientName, data.PatientID) == ("LEAK^NAME", "LEAKID")
        found = {e.keyword for e in data.iterall() if "LEAK" in str(e.value) and e.VR != "SQ"}
        assert found == {"PatientName", "PatientID"}
