"""SEG, RTSTRUCT and GSPS that other programs wrote: what went in comes out, voxel by voxel.

dcmqi, highdicom, Plastimatch and rt-utils write; masks and points are compared with their input.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_makers import identity
from dicom_series import write_series
from pydicom.sr.codedict import codes

from data_prep import prepare
from data_prep.bookmarks.formats.dicom_labels import read_mask
from data_prep.bookmarks.locate import place
from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.volumes.volume import read_volume

DIRECTIONS = {
    "axial": np.eye(3),
    "coronal": np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "oblique": np.array([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1]]),
}


class Scan:
    """A series on disk, its DICOM slices in stored order, and labels `(K, J, I)` drawn on it."""

    def __init__(self, root: Path, direction: np.ndarray, spacing=(0.8, 1.25, 3.0)) -> None:
        array = np.random.default_rng(3).integers(0, 900, (7, 40, 50)).astype(np.int16)
        self.image = sitk.GetImageFromArray(array)
        self.image.SetSpacing(spacing)
        self.image.SetOrigin((-12.5, 7.25, 30.0))
        self.image.SetDirection(direction.ravel().tolist())
        self.images = root / "images"
        self.folder = write_series(self.images / "scan", self.image)
        self.volume = read_volume(self.folder, root=self.images)
        by_uid = {d.SOPInstanceUID: d for d in map(pydicom.dcmread, self.folder.iterdir())}
        self.slices = [by_uid[uid] for uid in self.volume.slice_uids]
        self.labels = np.zeros(array.shape, np.uint8)
        self.labels[2:4, 10:16, 20:30] = 1
        self.labels[3, 11, 22:25] = 0  # a hole
        self.labels[5:7, 30:34, 5:12] = 2

    def as_image(self, labels: np.ndarray) -> sitk.Image:
        image = sitk.GetImageFromArray(labels)
        image.CopyInformation(self.image)
        return image

    def read(self, path: Path, segments: str | None = None) -> np.ndarray:
        """Read a mask by the package; return its labels as they are stored `(K, J, I)`."""
        mask = read_mask(
            path,
            self.volume,
            root=path.parent,
            allow_empty=False,
            nifti_form="auto",
            segments=segments,
        )
        assert len(mask.notes) == (segments is not None)
        return sitk.GetArrayFromImage(self.volume.to_source(mask.array))


@pytest.fixture(params=DIRECTIONS)
def scan(request, tmp_path) -> Scan:
    return Scan(tmp_path, DIRECTIONS[request.param])


@pytest.fixture
def axial(tmp_path) -> Scan:
    return Scan(tmp_path, DIRECTIONS["axial"])


def call(program: str, *arguments) -> None:
    beside = Path(sys.executable).with_name(program)
    found = str(beside) if beside.exists() else shutil.which(program)
    if found is None:
        pytest.skip(f"{program} not installed")
    line = [found, *map(str, arguments)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def dcmqi_seg(scan: Scan, path: Path, *options) -> Path:
    def code(value, meaning):
        return {"CodeValue": value, "CodingSchemeDesignator": "SCT", "CodeMeaning": meaning}

    segments = [
        {
            "labelID": number,
            "SegmentLabel": f"Lesion {number}",
            "SegmentedPropertyCategoryCodeSequence": code("49755003", "Abnormal structure"),
            "SegmentedPropertyTypeCodeSequence": code("52988006", "Lesion"),
            "SegmentAlgorithmType": "MANUAL",
        }
        for number in (1, 2)
    ]
    about = {"SeriesNumber": "300", "InstanceNumber": "1", "segmentAttributes": [segments]}
    given = path.with_suffix(".json"), path.with_suffix(".nrrd")
    given[0].write_text(json.dumps(about))
    sitk.WriteImage(scan.as_image(scan.labels), str(given[1]))
    arguments = ["--inputImageList", given[1], "--inputDICOMDirectory", scan.folder]
    arguments += ["--inputMetadata", given[0], "--outputDICOM", path, *options]
    call("itkimage2segimage", *arguments)
    for file in given:
        file.unlink()
    return path


@pytest.mark.parametrize(
    "options",
    [(), ("--skip", "0"), ("--segmentationType", "labelmap"), ("--compress", "deflate")],
    ids=["binary", "all-frames", "labelmap", "deflate"],
)
def test_segmentations_of_dcmqi(scan, tmp_path, options):
    path = dcmqi_seg(scan, tmp_path / "seg.dcm", *options)
    assert np.array_equal(scan.read(path), scan.labels)
    assert np.array_equal(scan.read(path, "lesion 2"), np.where(scan.labels == 2, 2, 0))
    found = read_bookmarks(path, image_root=scan.images)
    assert [(r.volume, r.row) for r in found.records] == [("scan", 1), ("scan", 2)]


def highdicom_seg(scan: Scan, path: Path, kind: str, syntax: str) -> Path:
    described = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=f"Lesion {number}",
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Lesion,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number in (1, 2)
    ]
    hd.seg.Segmentation(
        source_images=scan.slices[::-1],  # in any order
        pixel_array=scan.labels[::-1],
        segmentation_type=kind,
        segment_descriptions=described,
        **identity(7),
        transfer_syntax_uid=syntax,
    ).save_as(path)
    return path


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP", "FRACTIONAL"])
def test_segmentations_of_highdicom(scan, tmp_path, kind):
    path = highdicom_seg(scan, tmp_path / "seg", kind, pydicom.uid.ExplicitVRLittleEndian)
    assert np.array_equal(scan.read(path), scan.labels)


def test_run_length_coded_segmentations_of_highdicom(axial, tmp_path):
    path = highdicom_seg(axial, tmp_path / "seg", "LABELMAP", pydicom.uid.RLELossless)
    assert np.array_equal(axial.read(path), axial.labels)


def test_structure_sets_of_plastimatch(axial, tmp_path):
    """Plastimatch draws along the edges of pixels, around a hole by one closed line."""
    (tmp_path / "in").mkdir()
    for number in (1, 2):
        image = axial.as_image((axial.labels == number).astype(np.uint8))
        sitk.WriteImage(image, str(tmp_path / f"in/Lesion_{number}.mha"))
    given = ["--input-prefix", tmp_path / "in", "--referenced-ct", axial.folder]
    call("plastimatch", "convert", *given, "--output-dicom", tmp_path / "rt")
    (path,) = [p for p in (tmp_path / "rt").iterdir() if b"RTSTRUCT" in p.read_bytes()]
    assert np.array_equal(axial.read(path) > 0, axial.labels > 0)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_structure_sets_of_rt_utils(tmp_path, direction):
    """rt-utils draws through the centres of pixels, holes too; it swaps oblong pixels' spacings."""
    builder = pytest.importorskip("rt_utils").RTStructBuilder
    scan = Scan(tmp_path, DIRECTIONS[direction], spacing=(0.8, 0.8, 3.0))
    made = builder.create_new(dicom_series_path=str(scan.folder))
    for number in (1, 2):
        made.add_roi(mask=np.moveaxis(scan.labels == number, 0, -1), name=f"Lesion {number}")
    made.save(str(tmp_path / "rt.dcm"))
    assert np.array_equal(scan.read(tmp_path / "rt.dcm"), scan.labels)


def presentation_state(scan: Scan, path: Path, lines) -> Path:
    graphics = [
        hd.pr.GraphicObject(
            hd.pr.GraphicTypeValues.POLYLINE,
            np.array(points, dtype=float) + 0.5,
            units=hd.pr.AnnotationUnitsValues.PIXEL,
        )
        for points in lines
    ]
    image = scan.slices[4]
    layer = hd.pr.GraphicLayer("LAYER", order=1)
    note = hd.pr.GraphicAnnotation([image], graphic_layer=layer, graphic_objects=graphics)
    hd.pr.GrayscaleSoftcopyPresentationState(
        referenced_images=scan.slices,
        **identity(9),
        content_label="BOOKMARK",
        graphic_layers=[layer],
        graphic_annotations=[note],
        voi_lut_transformations=[
            hd.pr.SoftcopyVOILUTTransformation(window_center=450, window_width=900)
        ],
    ).save_as(path)
    return path


LINES = [[(20, 15), (32, 15)], [(26, 12), (26, 18)]]


@pytest.mark.parametrize("direction", ["axial", "oblique"])
def test_presentation_states_of_highdicom(tmp_path, direction):
    scan = Scan(tmp_path, DIRECTIONS[direction])
    path = presentation_state(scan, tmp_path / "pr.dcm", LINES)
    (record,) = read_bookmarks(path, image_root=scan.images).records
    placed = place(record, scan.volume)
    index = np.column_stack([placed.bookmark.points(), [placed.slice_index] * 4])
    stored = scan.volume.grid.stored_index(index)
    assert stored == pytest.approx(np.column_stack([np.reshape(LINES, (4, 2)), [4.0] * 4]))


@pytest.mark.parametrize("kind", ["dcmqi", "highdicom", "gsps"])
def test_prepare_takes_them(axial, tmp_path, kind):
    path = tmp_path / "object"
    if kind == "dcmqi":
        dcmqi_seg(axial, path)
    elif kind == "highdicom":
        highdicom_seg(axial, path, "BINARY", pydicom.uid.ExplicitVRLittleEndian)
    else:
        presentation_state(axial, path, LINES)
    line = ["--images", axial.images, "--bookmarks", path, "--out-dir", tmp_path / "out"]
    line += ["--quiet", "--overlays", "0", "--split", "1,0,0"]
    assert prepare.main([str(part) for part in line]) == 0
    content = json.loads((tmp_path / "out/annotations/train.json").read_bytes())
    assert len(content["annotations"]) == (1 if kind == "gsps" else 2)
