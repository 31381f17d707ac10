"""Which volumes are of one patient."""

import json

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid
from small_sets import HEADER, cross

from data_prep.bookmarks.record import BookmarkRecord
from data_prep.dataset.splits.patients import group
from data_prep.errors import DataError
from data_prep.prepare import main
from data_prep.volumes.dicom.patient_key import header_of_volume, key_of_header


def mark(patient=None, key=None):
    return BookmarkRecord("v", np.zeros((4, 2)), patient=patient, patient_key=key)


def test_stated_first_then_the_key_then_the_volume():
    records = {"a": [mark("P1")], "b": [], "c": [], "d": [], "e": []}
    keys = {"a": "k1", "b": "k1", "c": "k2", "d": "k2", "e": None}
    found = group(records, keys)
    assert found.of_volume == {"a": "P1", "b": "P1", "c": "c", "d": "c", "e": "e"}
    assert found.notes[0] == (
        "3 patients of 5 volumes, told by the bookmarks (1 volumes), DICOM's PatientID"
        " (3 volumes), the volume alone (1 volumes)."
    )
    assert found.notes[1].startswith("No patient is named for 1 of 5 volumes")


def test_reports_tell_the_patient_of_volumes_that_do_not():
    found = group({"a": [mark(key="k")], "b": [mark(key="k")]}, {})
    assert found.of_volume == {"a": "a", "b": "a"}


def test_an_id_with_and_without_its_issuer_is_one_patients():
    found = group({"a": [], "b": [], "c": [mark(key="k")]}, {"a": "k", "b": "k:one"})
    assert found.of_volume == {"a": "a", "b": "a", "c": "a"}
    found = group({"a": [], "b": [], "c": []}, {"a": "k", "b": "k:one", "c": "k:two"})
    assert found.of_volume == {"a": "a", "b": "b", "c": "c"}


def test_series_of_one_study_are_of_one_patient():
    """Anonymisers take the PatientID, or replace it by one for all."""
    records = {"a": [], "b": [], "c": [], "d": [], "e.nii": []}
    studies = {"a": "1.2", "b": "1.2", "c": "1.3", "d": "1.3"}
    found = group(records, {"d": "k"}, studies=studies)
    assert found.of_volume == {"a": "a", "b": "a", "c": "c", "d": "c", "e.nii": "e.nii"}
    assert found.notes == [
        "3 patients of 5 volumes, told by DICOM's PatientID (1 volumes), DICOM's study"
        " (3 volumes), the volume alone (1 volumes).",
        "No patient is named for 4 of 5 volumes: each DICOM study or other volume is taken as a"
        " patient of its own. Add a patient column, or use --patient-pattern.",
    ]


def test_names_that_tell_the_patient():
    """BIDS subjects, and the images of one case in nnU-Net's names."""
    bids = ["sub-01/ses-1/anat/sub-01_ses-1_T2w.nii.gz", "sub-01/ses-2/anat/sub-01_ses-2_T2w.nii"]
    channels = ["imagesTr/c7_0000.nii.gz", "imagesTr/c7_0001.nii.gz"]
    found = group({v: [] for v in (*bids, *channels, "c8_0000.nii.gz", "subject.nii")}, {})
    assert {found.of_volume[v] for v in bids} == {"sub-01"}
    assert {found.of_volume[v] for v in channels} == {"imagesTr/c7"}
    assert found.of_volume["c8_0000.nii.gz"] == "c8_0000.nii.gz"
    assert "4 patients of 6 volumes, told by names of volumes (4 volumes)" in found.notes[0]
    stated = group({channels[0]: [mark("P1")], channels[1]: []}, {})
    assert set(stated.of_volume.values()) == {"P1"}


def test_what_is_stated_counts_and_is_compared():
    records = {"a": [mark("P1")], "b": [mark("P2")], "c": [mark("P2")], "d": [mark(key="k9")]}
    found = group(records, {"a": "k1", "b": "k1", "c": "k2", "d": "k3"})
    assert found.of_volume == {"a": "P1", "b": "P2", "c": "P2", "d": "d"}
    text = " ".join(found.notes)
    assert "1 PatientIDs in DICOM are of several patients" in text
    assert "1 patients as stated have several PatientIDs" in text
    assert "1 volumes have reports of another PatientID" in text


def test_one_id_for_all_gets_a_note():
    found = group({"a": [], "b": []}, {"a": "k", "b": "k"})
    assert found.of_volume == {"a": "a", "b": "a"} and "anonymiser" in found.notes[-1]


def test_a_volume_of_two_patients_is_refused():
    with pytest.raises(DataError, match="one patient per volume but got 2"):
        group({"a": [mark("P1"), mark("P2")]}, {})


def test_keys_of_headers_and_volumes(make_series):
    def edit(name):
        return lambda data, k: setattr(data, "PatientID", name)

    root = make_series("images/a", 2, edit=edit("Q7")).parent
    make_series("images/deep/study/b", 2, edit=edit("Q7 "))
    make_series("images/c", 2, edit=edit("Q8"))
    make_series("images/d", 2, edit=edit("ANONYMOUS"))
    (root / "e.nii").write_bytes(b"")
    assert header_of_volume(root, "e.nii") is header_of_volume(root, "absent") is None
    keys = {name: key_of_header(header_of_volume(root, name)) for name in ("a", "deep", "c", "d")}
    assert keys["a"] == keys["deep"] is not None
    assert keys["c"] not in (None, keys["a"])
    assert keys["d"] is None
    header = pydicom.Dataset()
    header.PatientID = "Q7"
    assert key_of_header(header) == keys["a"] and "Q7" not in keys["a"]
    header.IssuerOfPatientID = "another hospital"
    assert key_of_header(header) != keys["a"]


def test_two_series_of_one_patient_are_never_in_two_splits(tmp_path):
    """50 patients with two DICOM series each, in folders of two archives."""
    source = pydicom.dcmread(get_testdata_file("MR_small.dcm"))
    source.Rows = source.Columns = 24
    rows = [HEADER.replace(",patient", "")]
    for patient in range(50):
        for archive in ("one", "two"):
            # Names in no common order, so that neighbours are not of one patient.
            folder = (
                tmp_path / "images" / archive / f"{(patient * 37 + len(archive) * 11) % 97:02d}"
            )
            folder = folder if archive == "one" else folder.with_name(f"s{49 - patient:02d}")
            folder.mkdir(parents=True)
            series = generate_uid()
            for k in range(2):
                pixels = np.random.default_rng((patient, len(rows), k)).integers(0, 900, (24, 24))
                source.PixelData = pixels.astype("<i2").tobytes()
                source.PatientID, source.SeriesInstanceUID = f"ID{patient * 7919}", series
                source.SOPInstanceUID = generate_uid()
                source.file_meta.MediaStorageSOPInstanceUID = source.SOPInstanceUID
                source.ImagePositionPatient = [0, 0, 3.0 * k]
                source.save_as(folder / f"{k}.dcm")
            cells = cross(f"{archive}/{folder.name}", 1, 12, 12, 6, 4).split(",")
            rows.append(",".join(cells[:2] + cells[3:]))
    (tmp_path / "marks.csv").write_text("\n".join(rows))
    arguments = ["--images", tmp_path / "images", "--bookmarks", tmp_path / "marks.csv"]
    arguments += ["--out-dir", tmp_path / "out", "--ids", tmp_path / "ids.csv", "--quiet"]
    assert main([str(a) for a in (*arguments, "--overlays", 0)]) == 0
    split_of = {}
    for split in ("train", "val", "test"):
        content = json.loads((tmp_path / f"out/annotations/{split}.json").read_bytes())
        for image in content["images"]:
            split_of[image["volume_id"]] = (split, image["patient_id"])
    assert len(split_of) == 100 and len({p for _, p in split_of.values()}) == 50
    ids = [line.split(",") for line in (tmp_path / "ids.csv").read_text().splitlines()[1:]]
    truth = {}
    for volume_id, _, volume, _ in ids:
        first = next((tmp_path / "images" / volume).iterdir())
        truth.setdefault(str(pydicom.dcmread(first).PatientID), []).append(split_of[volume_id])
    assert all(len(pair) == 2 and pair[0] == pair[1] for pair in truth.values())
    report = json.loads((tmp_path / "out/report.json").read_bytes())
    assert "50 patients of 100 volumes, told by DICOM's PatientID (100 volumes)." in report["notes"]
    # Neither the ID nor its hash is written, and the same command goes on.
    for path in (tmp_path / "out").rglob("*.json"):
        assert b"ID7919" not in path.read_bytes()
    assert main([str(a) for a in (*arguments, "--overlays", 0)]) == 0
