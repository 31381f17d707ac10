"""The phantom: seeded, with truth that its bookmarks measure."""

import csv
import hashlib

import numpy as np
import SimpleITK as sitk

from data_prep.bookmarks.locate import shape_fault
from data_prep.phantoms import abdomen

SMALL = {"shape": (10, 96, 96), "spacing_mm": (3.0, 3.0, 6.0)}


def test_same_seed_same_volume_and_other_seed_another():
    first, second, other = (abdomen.make_phantom(seed, **SMALL) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert (first.image != other.image).mean() > 0.5


def test_labels_are_consecutive_and_bright_against_their_surround():
    made = abdomen.make_phantom(5, **SMALL, n_nodes=4)
    assert made.image.dtype == np.int16 and made.image.shape == SMALL["shape"]
    assert sorted(np.unique(made.labels)) == [0, 1, 2, 3, 4]
    assert made.image[made.labels > 0].mean() > 1.2 * np.median(made.image[made.image > 200])


def test_lesion_free_volume_has_no_labels_and_no_bookmarks():
    made = abdomen.make_phantom(5, **SMALL, n_nodes=0)
    assert made.labels.max() == 0
    assert abdomen.bookmarks(made) == []


def test_bookmarks_lie_in_their_nodes_and_cover_every_key_slice():
    made = abdomen.make_phantom(8, n_nodes=5)
    marks = abdomen.bookmarks(made)
    assert marks == sorted(marks, key=lambda row: (row[1], row[0]))
    for label, k, mark in marks:
        x1, y1, x2, y2 = mark.box()
        rows, columns = np.nonzero(made.labels[k] == label)
        assert columns.min() - 1 <= x1 <= x2 <= columns.max() + 1
        assert rows.min() - 1 <= y1 <= y2 <= rows.max() + 1
        assert mark.long_length((2.5, 2.5)) >= mark.short_length((2.5, 2.5)) >= 6.0


def test_axes_are_those_in_mm_where_pixels_are_not_square():
    spacing = (4.5, 2.5, 6.0)
    made = abdomen.make_phantom(8, shape=(10, 96, 60), spacing_mm=spacing, n_nodes=5)
    marks = [mark for _, _, mark in abdomen.bookmarks(made)]
    assert len(marks) == 5 and not any(shape_fault(mark, spacing[:2]) for mark in marks)


def _digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]


def test_dataset_on_disk(tmp_path):
    for name in ("a", "b"):
        abdomen.write_dataset(tmp_path / name, 2, seed=1, n_empty=1, **SMALL)
    assert _digest(tmp_path / "a") == _digest(tmp_path / "b")
    with open(tmp_path / "a" / "bookmarks.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["volume"] for row in rows} == {"phantom_000.nii.gz", "phantom_001.nii.gz"}
    image = sitk.ReadImage(str(tmp_path / "a" / "images" / "phantom_002.nii.gz"))
    mask = sitk.ReadImage(str(tmp_path / "a" / "masks" / "phantom_002.nii.gz"))
    np.testing.assert_allclose(image.GetSpacing(), SMALL["spacing_mm"], rtol=1e-6)
    assert sitk.GetArrayFromImage(mask).max() == 0
