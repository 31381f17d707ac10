"""The same lesions come out of every storage, on the right voxels."""

import io

import highdicom as hd
import numpy as np
import pytest
import SimpleITK as sitk
from scan_storages import ROTATION, STORAGES, BrightSpots, store

from data_prep.volumes.dicom.source import read_source_slices
from data_prep.volumes.volume import read_volume
from mmglan.inference.outputs import Result, make_files
from mmglan.inference.outputs.label_map import nifti_of
from mmglan.inference.volume_detector import VolumeDetector


def points_of(findings) -> np.ndarray:
    """Centres and ends of all axes, mm."""
    rows = []
    for lesion in findings.lesions:
        axes = lesion.recist
        rows += [lesion.centre_lps, *axes.long_axis_lps, *axes.short_axis_lps]
    return np.array(rows)


def in_patient(findings, storage) -> np.ndarray:
    points = points_of(findings)
    return points @ np.array(ROTATION).reshape(3, 3) if storage == "oblique" else points


@pytest.mark.parametrize("storage", STORAGES)
def test_the_same_lesions_from_every_storage(scan_in, detector, storage):
    expected = detector.detect(scan_in("nifti"))
    found = detector.detect(scan_in(storage))
    assert len(found.lesions) == 2
    assert np.abs(in_patient(found, storage) - points_of(expected)).max() < 0.01
    for lesion, other in zip(found.lesions, expected.lesions, strict=True):
        assert (lesion.score, lesion.volume_ml) == (other.score, other.volume_ml)


@pytest.mark.parametrize("storage", STORAGES)
def test_the_label_map_lies_on_the_stored_grid(scan_in, detector, storage, tmp_path):
    volume = read_volume(scan_in(storage))
    findings, labels = detector.detect_in(volume)
    (tmp_path / "labels.nii.gz").write_bytes(nifti_of(labels, volume))
    image = sitk.ReadImage(str(tmp_path / "labels.nii.gz"))
    assert image.GetSize() == volume.grid.size
    assert np.allclose(image.GetOrigin(), volume.grid.origin, atol=1e-4)
    assert np.array_equal(volume.grid.to_axial(sitk.GetArrayFromImage(image)), labels)
    for lesion in findings.lesions:
        index = image.TransformPhysicalPointToIndex(lesion.centre_lps)
        assert image[index] == lesion.number


@pytest.mark.parametrize("storage", STORAGES)
def test_a_real_volume_in_every_storage(shared_data, tmp_path, storage):
    image = sitk.ReadImage(str(shared_data / "mr_abdomen/image.nii.gz"), sitk.sitkInt16)
    level = float(np.quantile(sitk.GetArrayFromImage(image), 0.98))
    detector = VolumeDetector.of(BrightSpots(level, least=8))
    expected = detector.detect(store(image, "nifti", tmp_path / "original"))
    found = detector.detect(store(image, storage, tmp_path / "other"))
    assert len(found.lesions) == len(expected.lesions) > 10
    assert np.abs(in_patient(found, storage) - points_of(expected)).max() < 0.1


def axial(image: sitk.Image) -> np.ndarray:
    """Return the voxels from the patient's right to the left, front to back, feet to head."""
    return sitk.GetArrayFromImage(sitk.DICOMOrient(image, "LPS"))


def image_of_seg(content: bytes) -> sitk.Image:
    """Read a segmentation by its own frames: positions and directions that it states."""
    volume = hd.seg.segread(io.BytesIO(content)).get_volume(combine_segments=True)
    # The affine maps (slice, row, column) to mm: ITK's axes are (column, row, slice).
    matrix, spacing = volume.affine[:3, 2::-1], np.array(volume.spacing)[::-1]
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((matrix / spacing).ravel().tolist())
    image.SetOrigin(volume.affine[:3, 3].tolist())
    return image


@pytest.mark.parametrize("storage", STORAGES)
def test_label_map_and_seg_of_a_whole_volume_hold_the_prediction(shared_data, tmp_path, storage):
    image = sitk.ReadImage(str(shared_data / "mr_abdomen/image.nii.gz"), sitk.sitkInt16)
    level = float(np.quantile(sitk.GetArrayFromImage(image), 0.98))
    detector = VolumeDetector.of(BrightSpots(level, least=15))
    original = read_volume(store(image, "nifti", tmp_path / "original"))
    findings, labels = detector.detect_in(original)
    assert labels.max() == len(findings.lesions) > 3
    # Where the prediction lies if the scan is stored otherwise: moved by ITK, not by our grids.
    expected = STORAGES[storage](original.to_source(labels))
    path = store(image, storage, tmp_path)
    volume = read_volume(path)
    sources = read_source_slices(path, volume) if volume.slice_uids else ()
    result = Result(*detector.detect_in(volume), volume, sources)
    kinds = ["labels", "dicom-seg"] if sources else ["labels"]
    files = make_files(result, kinds)
    (tmp_path / "labels.nii.gz").write_bytes(files["labels.nii.gz"])
    written = {"labels": sitk.ReadImage(str(tmp_path / "labels.nii.gz"))}
    if sources:
        written["seg"] = image_of_seg(files["findings.seg.dcm"])
    for found in written.values():
        assert np.array_equal(axial(found), axial(expected))
        corners = [sitk.DICOMOrient(i, "LPS").GetOrigin() for i in (found, expected)]
        assert np.allclose(*corners, atol=1e-3)
        assert np.allclose(found.GetSpacing(), volume.grid.spacing, atol=1e-4)
    assert np.array_equal(
        sitk.GetArrayFromImage(written["labels"]), volume.grid.to_stored(result.labels)
    )


def test_axes_of_the_known_spot(scan_in, detector):
    lesion = detector.detect(scan_in("nifti")).lesions[1]
    # Half axes of 3 and 5 pixels of 0.8 and 1.1 mm around (21, 17, 8).
    assert lesion.recist.slice_index == 8
    assert lesion.recist.long_axis_mm == pytest.approx(11.0, abs=1.1)
    assert lesion.recist.short_axis_mm == pytest.approx(4.8, abs=0.8)
    assert lesion.centre_lps == pytest.approx((-11 + 0.8 * 21, 7.5 + 1.1 * 17, 50.0), abs=0.01)
    assert lesion.box3d == (19, 13, 7, 23, 21, 9)
