"""Files of every format and orientation in, results back on the input's own grid."""

import gzip
import struct

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from data_prep.volumes.volume import read_label_volume, read_labels, read_volume

SAGITTAL = np.array([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]])
ROTATED = Rotation.from_euler("zyx", [8, 14, -6], degrees=True).as_matrix()
LPI = np.diag([1.0, 1.0, -1.0])
SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "direction",
    [np.eye(3), SAGITTAL, LPI, ROTATED, ROTATED @ SAGITTAL],
    ids=["axial", "sagittal", "flipped", "rotated", "rotated-sagittal"],
)
def test_result_goes_back_to_the_input_grid(tmp_path, make_image, suffix, direction):
    path = tmp_path / f"volume{suffix}"
    image = make_image(direction=direction)
    sitk.WriteImage(image, str(path))
    volume = read_volume(path, root=tmp_path)
    stored = sitk.GetArrayFromImage(image)
    assert volume.source_id == f"volume{suffix}"
    assert volume.array.dtype == np.int16
    assert volume.array.shape == tuple(reversed([image.GetSize()[a] for a in volume.grid.axes]))

    back = volume.to_source(volume.array)
    assert np.array_equal(sitk.GetArrayFromImage(back), stored)
    assert back.GetSize() == image.GetSize()
    for name in ("GetSpacing", "GetOrigin", "GetDirection"):
        assert np.allclose(getattr(back, name)(), getattr(image, name)(), atol=1e-5)
    # A mark set on one axial voxel lands on the voxel at the same point of the body.
    mark = np.zeros(volume.array.shape, bool)
    mark[1, 2, 3] = True
    k, j, i = np.argwhere(sitk.GetArrayFromImage(volume.to_source(mark)))[0]
    assert stored[k, j, i] == volume.array[1, 2, 3]
    point = image.TransformIndexToPhysicalPoint([int(i), int(j), int(k)])
    assert np.allclose(volume.from_patient_mm(np.array([point])), [[3, 2, 1]], atol=1e-4)
    assert np.allclose(volume.to_patient_mm(np.array([[3.0, 2, 1]])), [point], atol=1e-4)


def test_bookmark_pixels_follow_into_axial_order(tmp_path, make_image):
    path = tmp_path / "flipped.nii.gz"
    sitk.WriteImage(make_image(size=(7, 6, 5), direction=np.diag([-1.0, -1.0, 1.0])), str(path))
    volume = read_volume(path)
    assert np.allclose(
        volume.from_stored(np.array([[0, 0], [1.5, 5]]), 2), [[6, 5, 2], [4.5, 0, 2]]
    )
    assert volume.stored_size == (7, 6, 5)


def test_compressed_and_plain_files_give_the_same(tmp_path, make_image):
    image = make_image()
    arrays = []
    for suffix in SUFFIXES:
        for packed in (False, True):
            path = tmp_path / f"v{packed}{suffix}"
            sitk.WriteImage(image, str(path), packed)
            arrays.append(read_volume(path).array)
    assert all(np.array_equal(a, sitk.GetArrayFromImage(image)) for a in arrays)


@pytest.mark.parametrize(
    "pixel", ["UInt8", "Int8", "UInt16", "Int16", "UInt32", "Int32", "Int64", "Float32"]
)
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_number_types_are_kept(tmp_path, make_image, pixel, suffix):
    path = tmp_path / f"typed{suffix}"
    cast = sitk.Cast(make_image(size=(4, 4, 4)), getattr(sitk, f"sitk{pixel}"))
    sitk.WriteImage(cast, str(path))
    volume = read_volume(path)
    assert volume.array.dtype == np.dtype(pixel.lower())
    assert np.array_equal(volume.array, sitk.GetArrayFromImage(cast))


def test_doubles_become_single_precision(tmp_path, make_image):
    sitk.WriteImage(sitk.Cast(make_image(), sitk.sitkFloat64) + 0.25, str(tmp_path / "d.nrrd"))
    volume = read_volume(tmp_path / "d.nrrd")
    assert volume.array.dtype == np.float32
    assert volume.array[0, 0, 1] == 1.25


def nifti_bytes(tmp_path, make_image):
    path = tmp_path / "plain.nii"
    sitk.WriteImage(make_image(), str(path))
    return bytearray(path.read_bytes())


def test_nifti_scale_is_applied_and_unset_ones_are_not(tmp_path, make_image):
    data = nifti_bytes(tmp_path, make_image)
    struct.pack_into("<ff", data, 112, 2.5, -3.0)
    (tmp_path / "scaled.nii").write_bytes(data)
    struct.pack_into("<ff", data, 112, float("nan"), float("nan"))
    (tmp_path / "unset.nii").write_bytes(data)
    scaled = read_volume(tmp_path / "scaled.nii").array
    assert scaled.dtype == np.float32
    assert np.array_equal(scaled.ravel()[:3], [-3.0, -0.5, 2.0])
    assert read_volume(tmp_path / "unset.nii").array.dtype == np.int16
    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "scaled.nii")))
    assert np.allclose(scaled, expected)


def test_nifti_of_the_other_byte_order(tmp_path, make_image):
    data = nifti_bytes(tmp_path, make_image)
    swapped = bytearray(data)
    for start, stop, width in ((0, 4, 4), (40, 56, 2), (70, 76, 2), (76, 120, 4), (252, 256, 2)):
        for at in range(start, stop, width):
            swapped[at : at + width] = data[at : at + width][::-1]
    for at in range(256, 328, 4):
        swapped[at : at + 4] = data[at : at + 4][::-1]
    voxels = np.frombuffer(bytes(data[352:]), "<i2")
    swapped[352:] = voxels.astype(">i2").tobytes()
    (tmp_path / "big.nii").write_bytes(swapped)
    (tmp_path / "little.nii").write_bytes(data)
    big, little = read_volume(tmp_path / "big.nii"), read_volume(tmp_path / "little.nii")
    assert np.array_equal(big.array, little.array)
    assert big.grid == little.grid


def test_gzip_in_several_members(tmp_path, make_image):
    data = nifti_bytes(tmp_path, make_image)
    parts = gzip.compress(bytes(data[:500])) + gzip.compress(bytes(data[500:]))
    (tmp_path / "parts.nii.gz").write_bytes(parts)
    assert read_volume(tmp_path / "parts.nii.gz").array[0, 0, 2] == 2


def test_nifti_without_orientation_is_noted(tmp_path, make_image):
    data = nifti_bytes(tmp_path, make_image)
    struct.pack_into("<hh", data, 252, 0, 0)
    (tmp_path / "bare.nii").write_bytes(data)
    (note,) = read_volume(tmp_path / "bare.nii").notes
    assert note.startswith("bare.nii: the header states no orientation")
    (note,) = read_label_volume(tmp_path / "bare.nii").notes
    assert note.startswith("bare.nii: the header states no orientation")


def test_labels_come_in_the_order_of_their_image(tmp_path, make_image):
    image = make_image(direction=SAGITTAL)
    sitk.WriteImage(image, str(tmp_path / "image.nrrd"))
    labels = sitk.Cast(image > 200, sitk.sitkUInt8) * 3
    sitk.WriteImage(labels, str(tmp_path / "same.nrrd"))
    sitk.WriteImage(sitk.DICOMOrient(labels, "RAS"), str(tmp_path / "turned.nii.gz"))
    sitk.WriteImage(sitk.Cast(labels, sitk.sitkFloat32), str(tmp_path / "real.mha"))
    volume = read_volume(tmp_path / "image.nrrd")
    expected = np.where(volume.array > 200, 3, 0)
    for name in ("same.nrrd", "turned.nii.gz", "real.mha"):
        found = read_labels(tmp_path / name, volume).array
        assert found.dtype == np.uint16
        assert np.array_equal(found, expected)
    alone = read_label_volume(tmp_path / "same.nrrd")
    assert alone.spacing_mm == pytest.approx(volume.spacing_mm)


def test_real_abdominal_mr(shared_data):
    root = shared_data / "mr_abdomen"
    volume = read_volume(root / "image.nii.gz", root=root)
    image = sitk.ReadImage(str(root / "image.nii.gz"))
    assert volume.array.shape == (20, 91, 117)
    assert volume.spacing_mm == (3.0, 3.0, 3.0)
    assert np.array_equal(
        sitk.GetArrayFromImage(volume.to_source(volume.array)), sitk.GetArrayFromImage(image)
    )
    labels = read_labels(root / "labels.nii.gz", volume).array
    assert {4, 21, 23, 24} <= set(np.unique(labels))


def test_result_of_another_shape_is_refused(tmp_path, make_image):
    sitk.WriteImage(make_image(), str(tmp_path / "v.mha"))
    volume = read_volume(tmp_path / "v.mha")
    with pytest.raises(ValueError, match=r"shape \(5, 6, 7\) but got \(1, 1, 1\)"):
        volume.to_source(np.zeros((1, 1, 1)))
