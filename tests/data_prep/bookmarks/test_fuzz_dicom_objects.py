"""Broken DICOM segmentations, structure sets and presentation states: nothing but DataError."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from dicom_makers import with_values
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from data_prep.bookmarks.formats import dicom_rtstruct, dicom_seg
from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.volumes.search.volume_index import VolumeIndex
from data_prep.volumes.volume import read_volume

pytestmark = pytest.mark.fuzz
fuzz = settings.get_profile("readers")
VALUES = st.one_of(
    st.none(),
    st.lists(st.floats(-9, 99, width=32), max_size=13),
    st.sampled_from(["", "PIXEL", "CIRCLE", "POINT", "1.2.3", "LABELMAP", "FRACTIONAL", [], 0, 7]),
)


def item(**fields):
    data = Dataset()
    for name, value in fields.items():
        setattr(data, name, value)
    return data


def objects(source):
    """Return one sound object of each kind, of a series of two slices."""

    def empty(sop_class):
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID = f"1.2.840.10008.5.1.4.1.1.{sop_class}"
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
        return data

    series = item(SeriesInstanceUID=source.SeriesInstanceUID)
    seg = empty("66.4")
    seg.ReferencedSeriesSequence = [series]
    seg.Rows = seg.Columns = 64
    seg.SamplesPerPixel, seg.PhotometricInterpretation = 1, "MONOCHROME2"
    seg.BitsAllocated = seg.BitsStored = 8
    seg.HighBit, seg.PixelRepresentation, seg.NumberOfFrames = 7, 0, 1
    seg.SegmentationType = "BINARY"
    seg.SegmentSequence = [item(SegmentNumber=1)]
    pixels = np.zeros((64, 64), np.uint8)
    pixels[10:20, 10:25] = 1
    seg.PixelData = pixels.tobytes()
    groups = item(
        PlanePositionSequence=[item(ImagePositionPatient=[0, 0, 0])],
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        PixelMeasuresSequence=[item(PixelSpacing=[1, 1])],
        SegmentIdentificationSequence=[item(ReferencedSegmentNumber=1)],
    )
    seg.PerFrameFunctionalGroupsSequence = [groups]
    structures = empty("481.3")
    study = item(RTReferencedSeriesSequence=[series])
    structures.ReferencedFrameOfReferenceSequence = [item(RTReferencedStudySequence=[study])]
    contour = item(
        ContourGeometricType="CLOSED_PLANAR", ContourData=[5, 5, 0, 20, 5, 0, 20, 15, 0, 5, 15, 0]
    )
    structures.ROIContourSequence = [item(ContourSequence=[contour])]
    state = empty("11.1")
    image = item(ReferencedSOPInstanceUID=source.SOPInstanceUID)
    state.ReferencedSeriesSequence = [
        item(SeriesInstanceUID=source.SeriesInstanceUID, ReferencedImageSequence=[image])
    ]
    graphics = [
        item(GraphicAnnotationUnits="PIXEL", GraphicType="POLYLINE", GraphicData=points)
        for points in ([5.0, 10, 25, 10], [15.0, 5, 15, 15])
    ]
    state.GraphicAnnotationSequence = [
        item(ReferencedImageSequence=[image], GraphicObjectSequence=graphics)
    ]
    return {"seg": seg, "rtstruct": structures, "gsps": state}


@pytest.fixture(scope="module")
def monkeymodule():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def sound(tmp_path_factory, monkeymodule):
    """The image folder's index, a folder for broken files, and the bytes of each object."""
    root = tmp_path_factory.mktemp("objects")
    (root / "images/scan").mkdir(parents=True)
    source = pydicom.dcmread(get_testdata_file("MR_small.dcm"))
    source.PixelSpacing, source.ImageOrientationPatient = [1, 1], [1, 0, 0, 0, 1, 0]
    for k in range(2):
        source.SOPInstanceUID = source.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        source.ImagePositionPatient = [0, 0, 3 * k]
        source.save_as(root / f"images/scan/{k}.dcm")
    index, contents = VolumeIndex(root / "images"), {}
    # The volume is the same in all examples: it is read once.
    grid = read_volume(root / "images/scan", root=root / "images")
    for module in (dicom_seg, dicom_rtstruct):
        monkeymodule.setattr(module, "read_grid", lambda options, volume: grid)
    for kind, data in objects(source).items():
        data.save_as(root / f"{kind}.dcm", enforce_file_format=True)
        contents[kind] = (root / f"{kind}.dcm").read_bytes()
        found = read_bookmarks(root / f"{kind}.dcm", image_root=index)
        assert len(found.records) == 1 and found.errors == []
    return index, root, contents


EDITS = st.lists(st.tuples(st.integers(0, 60), VALUES), min_size=1, max_size=3)
KINDS = ("seg", "rtstruct", "gsps")


@pytest.mark.parametrize("kind", KINDS)
@fuzz
@given(data=st.data())
def test_bytes(sound, survives, damage, kind, data):
    index, root, contents = sound
    path = root / "broken.dcm"
    path.write_bytes(damage(data, contents[kind], len(contents[kind])))
    survives(read_bookmarks, path, format=kind, image_root=index, one_axis="ignore")


@pytest.mark.parametrize("kind", KINDS)
@fuzz
@given(edits=EDITS)
def test_values(sound, survives, kind, edits):
    index, root, contents = sound
    path = root / "values.dcm"
    path.write_bytes(contents[kind])
    if with_values(path, edits):
        survives(read_bookmarks, path, format=kind, image_root=index, one_axis="ignore")
