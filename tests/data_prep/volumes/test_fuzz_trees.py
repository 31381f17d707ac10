"""Broken DICOM trees, DICOMDIRs and archives: nothing but DataError, in one line, comes out."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path

import pydicom
import pytest
from dicom_series import common, uid
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.fileset import FileSet
from pydicom.uid import MRImageStorage

from data_prep.volumes.dicom.series_choice import SeriesChoice
from data_prep.volumes.search.image_root import open_images
from data_prep.volumes.search.volume_index import VolumeIndex

pytestmark = pytest.mark.fuzz
fuzz = settings.get_profile("readers")
PLACES = ("a", "b", "a")
CHOICES = st.sampled_from([SeriesChoice(), SeriesChoice("most-slices", "MR", "t2|T1")])
WORDS = ["", "1.2", "MR", "t2", "1\\2", "1.2.840.10008.5.1.4.1.1.66.4"]
VALUES = st.none() | st.sampled_from([*WORDS, [], 0, -1, 7, [0.0, 0.0, 1.0], [1e300] * 3, [1.0]])
KEYWORDS = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID"),
    *("Modality", "SeriesDescription", "Rows", "Columns", "NumberOfFrames", "InstanceNumber"),
    *("ImagePositionPatient", "ImageOrientationPatient", "ImageType", "PixelSpacing"),
)
EDITS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(KEYWORDS), VALUES), min_size=1, max_size=4
)


def image(k: int) -> pydicom.Dataset:
    """The k-th image: two of a series in two folders, and one of another."""
    data = common(f"series {k // 2}", MRImageStorage, uid("instance", k), (4, 4))
    data.SeriesInstanceUID, data.SeriesDescription = f"1.2.{7 + k // 2}", "t2"
    data.InstanceNumber, data.PixelSpacing = k + 1, [1.0, 1.0]
    data.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    data.ImagePositionPatient = [0.0, 0.0, 2.0 * k]
    data.PixelData = bytes([k] * 32)
    return data


def content_of(data: pydicom.Dataset) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A folder, and the bytes of its files: a tree of two series, a DICOMDIR and an archive."""
    root = tmp_path_factory.mktemp("trees")
    files = FileSet()
    for k in range(2):
        files.add(image(k))
    files.write(root / "medium")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((root / "medium").rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(root / "medium"))
    return root, {
        "tree": [content_of(image(k)) for k in range(3)],
        "DICOMDIR": (root / "medium/DICOMDIR").read_bytes(),
        "zip": packed.getvalue(),
    }


def look(folder: Path, choice: SeriesChoice) -> None:
    """Do all that a run asks of a tree."""
    index = VolumeIndex(folder, choice=choice)
    assert all(note.isprintable() for note in index.notes)
    for volume in index.volumes:
        index.whole(volume)
    index.by_series("1.2.7")


def look_at_tree(root: Path, contents: list[bytes], choice: SeriesChoice) -> None:
    for k, content in enumerate(contents):
        path = root / "tree" / PLACES[k] / f"{k}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    look(root / "tree", choice)


def open_and_look(path: Path) -> None:
    with open_images(path) as images:
        look(images.root, SeriesChoice())


def test_an_element_of_no_kind(sound):
    """pydicom decodes elements when they are asked for, and raises what is no ValueError then."""
    root, contents = sound
    first, *others = contents["tree"]
    broken = first.replace(b"\x10\x00\x20\x00LO", b"\x10\x00\x20\x00MO")
    assert broken != first
    look_at_tree(root, [broken, *others], SeriesChoice())


@fuzz
@given(data=st.data())
def test_tree_bytes(sound, survives, damage, data):
    root, contents = sound
    at = data.draw(st.integers(0, 2))
    tree = list(contents["tree"])
    tree[at] = damage(data, tree[at], len(tree[at]))
    survives(look_at_tree, root, tree, data.draw(CHOICES))


@fuzz
@given(edits=EDITS, choice=CHOICES)
def test_tree_values(sound, survives, edits, choice):
    root, contents = sound
    tree = list(contents["tree"])
    images = {}
    for k, keyword, value in edits:
        one = images.setdefault(k, image(k))
        try:
            setattr(one, keyword, value)
            tree[k] = content_of(one)
        except Exception:  # pydicom does not write every value
            images[k] = image(k)
    survives(look_at_tree, root, tree, choice)


@pytest.mark.parametrize("kind", ["DICOMDIR", "zip"])
@fuzz
@given(data=st.data())
def test_media(sound, survives, damage, kind, data):
    root, contents = sound
    path = root / ("study.zip" if kind == "zip" else "medium/DICOMDIR")
    path.write_bytes(damage(data, contents[kind], len(contents[kind])))
    survives(open_and_look, path)
