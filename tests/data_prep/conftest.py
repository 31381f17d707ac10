"""Makers of real input files for the tests of volumes and bookmarks."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from damaged_files import broken
from hypothesis import HealthCheck, settings
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from small_sets import HEADER, cross, volume

from data_prep.bookmarks.record import ReadResult
from data_prep.errors import DataError
from data_prep.phantoms import abdomen

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
BOOKMARK_HEADER = "volume,slice,long_x1,long_y1,long_x2,long_y2,short_x1,short_y1,short_x2,short_y2"


@pytest.fixture(scope="session")
def make_image():
    """Return a maker of SimpleITK images of any orientation with distinct voxels."""

    def make(size=(7, 6, 5), spacing=(0.75, 1.25, 3.0), direction=None, origin=(-11.0, 7.5, 30.0)):
        array = np.arange(np.prod(size), dtype=np.int16).reshape(size[::-1])
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(spacing)
        image.SetOrigin(origin)
        if direction is not None:
            image.SetDirection([float(v) for v in np.asarray(direction).ravel()])
        return image

    return make


@pytest.fixture(scope="session")
def phantom_dataset(tmp_path_factory) -> Path:
    """Return a folder of images, masks and `bookmarks.csv`: 6 volumes, and 3 without nodes."""
    folder = tmp_path_factory.mktemp("phantoms")
    options = {"shape": (10, 80, 80), "spacing_mm": (3.5, 3.5, 6.0)}
    abdomen.write_dataset(folder, 6, seed=11, n_empty=3, **options)
    return folder


@pytest.fixture
def make_series(tmp_path):
    """Return a writer of a DICOM series made from pydicom's real MR slice."""

    def write(name="series", count=4, *, edit=None, folder=None, series=None, **options) -> Path:
        folder = folder or tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        step = options.get("step", (0.0, 0.0, 2.5))
        orientation = options.get("orientation", AXIAL)
        shape = options.get("shape", (64, 64))
        series = series or generate_uid()
        for k in range(count):
            slice_data = pydicom.dcmread(get_testdata_file("MR_small.dcm"))
            pixels = slice_data.pixel_array[: shape[0], : shape[1]].copy()
            pixels[0, 0] = 1000 + k
            slice_data.PixelData = pixels.tobytes()
            slice_data.Rows, slice_data.Columns = shape
            slice_data.PixelSpacing = list(options.get("spacing", (0.7, 0.9)))
            slice_data.SeriesInstanceUID = series
            slice_data.SOPInstanceUID = generate_uid()
            slice_data.file_meta.MediaStorageSOPInstanceUID = slice_data.SOPInstanceUID
            slice_data.ImageOrientationPatient = list(orientation)
            slice_data.ImagePositionPatient = [
                float(round(v, 6)) for v in np.array([-20.0, -30.0, 40.0]) + k * np.array(step)
            ]
            slice_data.SliceThickness = 2.5
            if edit is not None:
                edit(slice_data, k)
            # File names are not in the order of the slices.
            slice_data.save_as(folder / f"IM{(k * 7 + 3) % 100:03d}.dcm")
        return folder

    return write


@pytest.fixture
def make_multiframe(tmp_path):
    """Return a writer of an enhanced MR file of any frame order."""

    def write(name="enhanced.dcm", heights=(0.0, 2.0, 4.0, 6.0), *, edit=None) -> Path:
        data = pydicom.dcmread(get_testdata_file("MR_small.dcm"))
        plane = data.pixel_array[:20, :24]
        frames = np.stack([plane + 10 * i for i in range(len(heights))]).astype(np.int16)
        data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            delattr(data, keyword)
        data.NumberOfFrames = len(heights)
        data.Rows, data.Columns = frames.shape[1:]
        data.PixelData = frames.tobytes()
        measures, orientation = Dataset(), Dataset()
        measures.PixelSpacing = [0.5, 0.75]
        measures.SliceThickness = 2.0
        orientation.ImageOrientationPatient = list(AXIAL)
        shared = Dataset()
        shared.PixelMeasuresSequence = [measures]
        shared.PlaneOrientationSequence = [orientation]
        data.SharedFunctionalGroupsSequence = [shared]
        groups = []
        for i, height in enumerate(heights):
            position, values, group = Dataset(), Dataset(), Dataset()
            position.ImagePositionPatient = [5.0, 6.0, height]
            values.RescaleSlope, values.RescaleIntercept = 0.5, float(i)
            group.PlanePositionSequence = [position]
            group.PixelValueTransformationSequence = [values]
            groups.append(group)
        data.PerFrameFunctionalGroupsSequence = groups
        if edit is not None:
            edit(data)
        data.save_as(tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture(scope="session")
def jpeg_lossless(tmp_path_factory):
    """Return a coder of JPEG Lossless streams, for which pydicom alone has no decoder."""
    path = tmp_path_factory.mktemp("jpeg") / "jpeg.dcm"

    def encode(plane) -> bytes:
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.SetCompressor("JPEG")
        writer.UseCompressionOn()
        writer.SetFileName(str(path))
        writer.Execute(sitk.GetImageFromArray(plane[None]))
        return pydicom.encaps.get_frame(pydicom.dcmread(path).PixelData, 0)

    return encode


@pytest.fixture
def make_markups(tmp_path):
    """Return a writer of Slicer line markups."""

    def write(lines, name="case.mrk.json", system="LPS", kind="Line", folder=None) -> Path:
        markups = [
            {
                "type": kind,
                "coordinateSystem": system,
                "coordinateUnits": "mm",
                "controlPoints": [
                    {"id": str(i), "position": [float(v) for v in p], "positionStatus": "defined"}
                    for i, p in enumerate(line)
                ],
            }
            for line in lines
        ]
        path = (folder or tmp_path) / name
        path.write_text(json.dumps({"markups": markups}))
        return path

    return write


@pytest.fixture
def make_report(tmp_path):
    """Return a writer of TID 1500 reports of `lesions`: source image and four points each."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    def axis(name, length, points, source):
        region = hd.sr.SourceImageForRegion(
            referenced_sop_class_uid=source.SOPClassUID,
            referenced_sop_instance_uid=source.SOPInstanceUID,
        )
        if points.shape[1] == 2:
            line = hd.sr.CoordinatesForMeasurement("POLYLINE", points, region)
        else:
            line = hd.sr.CoordinatesForMeasurement3D(
                "POLYLINE", points, frame_of_reference_uid=source.FrameOfReferenceUID
            )
        return hd.sr.Measurement(
            name=name, value=length, unit=codes.UCUM.Millimeter, referenced_coordinates=[line]
        )

    def write(lesions, sources, name="report.dcm", names=("LongAxis", "ShortAxis")) -> Path:
        groups = []
        for number, (source, points) in enumerate(lesions):
            axes = np.asarray(points, dtype=float).reshape(-1, 2, np.shape(points)[-1])
            spacing = next(e.value for e in source.iterall() if e.keyword == "PixelSpacing")
            size = spacing[::-1] if axes.shape[-1] == 2 else 1.0
            measures = [
                axis(getattr(codes.SCT, name), float(np.linalg.norm((b - a) * size)), ends, source)
                for name, ends in zip(names, axes, strict=False)
                for a, b in [ends]
            ]
            tracking = hd.sr.TrackingIdentifier(uid=hd.UID(), identifier=f"lesion {number}")
            groups.append(
                hd.sr.MeasurementsAndQualitativeEvaluations(tracking, measurements=measures)
            )
        observer = hd.sr.ObserverContext(
            observer_type=codes.DCM.Device,
            observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(uid=hd.UID()),
        )
        report = hd.sr.MeasurementReport(
            observation_context=hd.sr.ObservationContext(observer_device_context=observer),
            procedure_reported=codes.SCT.ImagingProcedure,
            imaging_measurements=groups,
        )
        document = hd.sr.Comprehensive3DSR(
            evidence=list(sources),
            content=report[0],
            series_number=99,
            series_instance_uid=hd.UID(),
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer="test",
        )
        document.save_as(tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def make_table(tmp_path):
    """Return a writer of a bookmark table from data lines."""

    def write(*lines, header=BOOKMARK_HEADER, name="bookmarks.csv", encoding="utf-8") -> Path:
        path = tmp_path / name
        path.write_bytes("\n".join([header, *lines, ""]).encode(encoding))
        return path

    return write


FUZZ_EXAMPLES = int(os.environ.get("MMGLAN_FUZZ_EXAMPLES", "50"))
settings.register_profile(
    "readers",
    max_examples=FUZZ_EXAMPLES,
    deadline=None,
    derandomize=FUZZ_EXAMPLES <= 100,  # the small run is the same everywhere
    database=None,
    suppress_health_check=list(HealthCheck),
)


def pytest_collection_modifyitems(items):
    """Take the time limit from long fuzzing: it would end in the middle of drawing an example.

    Hypothesis then repeats the example, which draws on, and calls the strategies flaky.
    """
    for item in items:
        if FUZZ_EXAMPLES > 100 and item.get_closest_marker("fuzz"):
            item.add_marker(pytest.mark.timeout(0))


@pytest.fixture(scope="session")
def damage():
    """Return a drawer of damaged files: `damage(data, sound, hot)`, `data` of hypothesis."""
    return lambda data, sound, hot: broken(data.draw, sound, hot)


@pytest.fixture(scope="session")
def survives():
    """Return a caller of readers: what they raise must be a DataError of one line."""

    def call(action, *args, **options) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                result = action(*args, **options)
            except DataError as error:
                assert str(error).isprintable()
                return
        if isinstance(result, ReadResult):
            assert all(str(error).isprintable() for error in result.errors)

    return call


@pytest.fixture
def two(tmp_path) -> Path:
    """Two sound volumes with two bookmarks each: `images/` and `marks.csv`."""
    (tmp_path / "images").mkdir()
    rows = []
    for i, name in enumerate("ab"):
        volume(tmp_path / "images" / f"{name}.mha", seed=i)
        rows += [cross(f"{name}.mha", z, patient=name) for z in (1, 4)]
    (tmp_path / "marks.csv").write_text("\n".join([HEADER, *rows]))
    return tmp_path


@pytest.fixture
def locked(monkeypatch):
    """Let the system refuse to list the folders of a name."""
    real = os.scandir

    def lock(name: str) -> None:
        def scandir(path):
            if Path(os.fspath(path)).name == name:
                raise PermissionError(13, "Permission denied", os.fspath(path))
            return real(path)

        monkeypatch.setattr(os, "scandir", scandir)

    return lock
