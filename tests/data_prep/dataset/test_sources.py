"""Which volumes, masks and patients a run finds."""

from pathlib import Path

import numpy as np
import pytest

from data_prep.bookmarks.record import BookmarkRecord
from data_prep.dataset.sources import list_sources
from data_prep.errors import DataError

POINTS = np.array([[1.0, 2], [9, 2], [5, 1], [5, 4]])


def record(volume, patient=None, row=2):
    return BookmarkRecord(volume, POINTS, slice_index=0, patient=patient, file="m.csv", row=row)


def touch(root, *names):
    for name in names:
        path = Path(root) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_pseudonyms_follow_the_order_of_names():
    records = [record("c", "Zoe", 4), record("a", "Zoe", 3), record("b", "Ann", 2)]
    sources, notes = list_sources(records, ["d", "a"])
    named = [(s.volume_id, s.patient_id, s.volume, s.patient) for s in sources]
    assert named == [
        ("v0001", "p0002", "a", "Zoe"),
        ("v0002", "p0001", "b", "Ann"),
        ("v0003", "p0002", "c", "Zoe"),
        ("v0004", "p0003", "d", "d"),
    ]
    assert notes == [
        "3 patients of 4 volumes, told by the bookmarks (3 volumes), the volume alone (1 volumes).",
        "No patient is named for 1 of 4 volumes: each of them is taken as a patient of its own. Add"
        " a patient column, or use --patient-pattern.",
    ]


def test_pattern_that_does_not_fit_names_the_volume():
    with pytest.raises(DataError) as caught:
        list_sources([record("scan7.nii")], patient_pattern=r"^(P\d+)/")
    assert str(caught.value) == (
        "scan7.nii: Expected a path that fits the patient pattern '^(P\\d+)/' (with one group) but"
        " it does not. Correct --patient-pattern."
    )


def test_volumes_without_a_mask_are_noted(tmp_path):
    touch(tmp_path, "a.nii.gz")
    records = [record(name, "Ann") for name in ("a.mha", "b.mha", "c.mha")]
    assert list_sources(records, masks=tmp_path)[1][1:] == [
        "No mask was found for 2 of 3 volumes: no true lesions are written for them. Masks are"
        " called as their volumes are."
    ]
    assert list_sources(records[:1], masks=tmp_path)[1] == []


def test_one_mask_file_for_several_volumes_is_refused(tmp_path):
    touch(tmp_path, "mask.nii.gz")
    with pytest.raises(DataError, match="a folder of masks for 2 volumes but got one file"):
        list_sources([record("a"), record("b")], masks=tmp_path / "mask.nii.gz")
    (only,), _ = list_sources([record("a")], masks=tmp_path / "mask.nii.gz")
    assert only.mask == "mask.nii.gz"
