"""Broken masks of a volume, of each kind that `--masks` takes: nothing but DataError, in one line.

Each runs a few examples; `make fuzz` runs 10 000 of each.
"""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_makers import segmentation, structure_set, with_values
from dicom_series import write_series
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.bookmarks.formats.dicom_labels import read_mask
from data_prep.volumes.volume import read_volume

pytestmark = pytest.mark.fuzz
fuzz = settings.get_profile("readers")
DICOM = ("seg", "labelmap", "rtstruct")
KINDS = ("nii", "nii.gz", "nrrd", "seg.nrrd", "mha", *DICOM)
SEGMENTS = st.sampled_from([None, None, "node 1", "x", "Node"])
VALUES = st.one_of(
    st.none(),
    st.lists(st.floats(-9, 99, width=32), max_size=9),
    st.sampled_from(
        ["", "BINARY", "LABELMAP", "FRACTIONAL", "1.2.3", "POINT", [], 0, -1, 3, 2**16]
    ),
)


def sources_of(folder, image):
    """Return the volume of an image written as a series, and the headers of its slices."""
    write_series(folder, image)
    volume = read_volume(folder)
    headers = {data.SOPInstanceUID: data for data in map(pydicom.dcmread, folder.iterdir())}
    return volume, [headers[uid] for uid in volume.slice_uids]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A volume, a folder for broken files, and the bytes of a sound mask of each kind."""
    root = tmp_path_factory.mktemp("masks")
    labels = np.zeros((3, 8, 10), np.uint8)
    labels[0, 1:3, 2:5], labels[1:, 4:7, 6:9] = 1, 2
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing((0.75, 1.25, 3.0))
    values = sitk.GetImageFromArray(np.arange(labels.size, dtype=np.int16).reshape(labels.shape))
    values.CopyInformation(image)
    volume, sources = sources_of(root / "scan", values)
    for number in (1, 2):
        image.SetMetaData(f"Segment{number}_LabelValue", f"{number}")
        image.SetMetaData(f"Segment{number}_Name", f"node {number}")
    for kind in set(KINDS) - {*DICOM}:
        sitk.WriteImage(image, str(root / f"sound.{kind}"), kind in ("nrrd", "mha"))
    both = np.stack([labels == 1, labels == 2], axis=-1)
    segmentation(sources, both, root / "sound.seg")
    segmentation(sources, both, root / "sound.labelmap", "LABELMAP")
    square = [[0.5, 0.5, 3.0], [3.5, 0.5, 3.0], [3.5, 4.0, 3.0], [0.5, 4.0, 3.0]]
    contours = structure_set(sources[0], [("CLOSED_PLANAR", square)], ["node 1"])
    contours.save_as(root / "sound.rtstruct", enforce_file_format=True)
    contents = {kind: (root / f"sound.{kind}").read_bytes() for kind in KINDS}
    for kind in KINDS:
        found = mask_of(root / f"sound.{kind}", volume, "node" if kind in NAMED else None)
        assert found.array.max() == (1 if kind == "rtstruct" else 2)
    return volume, root, contents


NAMED = ("seg.nrrd", *DICOM)


def mask_of(path, volume, segments):
    return read_mask(
        path, volume, root=path.parent, allow_empty=False, nifti_form="auto", segments=segments
    )


@pytest.mark.parametrize("kind", KINDS)
@fuzz
@given(data=st.data())
def test_bytes(sound, survives, damage, kind, data):
    volume, root, contents = sound
    path = root / f"broken.{kind}"
    hot = len(contents[kind]) if kind in DICOM else 480
    path.write_bytes(damage(data, contents[kind], hot))
    survives(mask_of, path, volume, data.draw(SEGMENTS))


@pytest.mark.parametrize("kind", DICOM)
@fuzz
@given(
    edits=st.lists(st.tuples(st.integers(0, 200), VALUES), min_size=1, max_size=3),
    segments=SEGMENTS,
)
def test_values(sound, survives, kind, edits, segments):
    volume, root, contents = sound
    path = root / f"values.{kind}"
    path.write_bytes(contents[kind])
    if with_values(path, edits):
        survives(mask_of, path, volume, segments)
