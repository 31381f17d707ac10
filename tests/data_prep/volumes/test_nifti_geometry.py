"""NIfTI: two forms of one place compared, units, and the older and newer kinds of file."""

import struct

import numpy as np
import pytest
import SimpleITK as sitk
from said import says

from data_prep.bookmarks.locate import place
from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.errors import DataError
from data_prep.volumes.volume import read_label_volume, read_labels, read_volume

ARRAY = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
OFFSETS = (10.0, 20.0, 30.0)


def sform(steps=(3, 3, 3), offsets=OFFSETS):
    return [
        [steps[0], 0, 0, offsets[0]],
        [0, steps[1], 0, offsets[1]],
        [0, 0, steps[2], offsets[2]],
    ]


def write_nifti(path, array=ARRAY, pixdim=(3, 3, 3), qform=None, sform=None, unit=2, magic=b"n+1"):
    """Write NIfTI-1: `qform` as (b, c, d, three offsets), `sform` as 3 x 4; None leaves one out."""
    header = bytearray(352)
    code = {"i2": 4, "u1": 2, "f4": 16}[array.dtype.str[1:]]
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *array.shape[::-1], 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, code, array.dtype.itemsize * 8)
    struct.pack_into("<4f", header, 76, 1, *pixdim)
    struct.pack_into("<3f", header, 108, 352 if magic == b"n+1" else 0, 1, 0)
    header[123] = unit
    struct.pack_into("<2h", header, 252, int(qform is not None), 2 * int(sform is not None))
    struct.pack_into("<6f", header, 256, *(qform or (0,) * 6))
    struct.pack_into("<12f", header, 280, *np.ravel(sform if sform is not None else [0] * 12))
    header[344 : 344 + len(magic)] = magic
    if magic == b"n+1":
        path.write_bytes(bytes(header) + array.tobytes())
    else:
        path.write_bytes(bytes(header[:348]))
        path.with_suffix(".img").write_bytes(array.tobytes())
    return path


def refused(path, **options):
    with pytest.raises(DataError) as caught:
        read_volume(path, root=path.parent, **options)
    return caught.value


@pytest.mark.parametrize(
    "forms",
    [
        {"qform": (0.1, 0.2, 0.3, *OFFSETS)},
        {"qform": (0.0, 1.0, 0.0, *OFFSETS)},
        {"sform": sform()},
        {"qform": (0, 0, 0, *OFFSETS), "sform": sform()},
        {},
        {"sform": sform((3000, 3000, 3000)), "pixdim": (3000, 3000, 3000), "unit": 3},
        {"qform": (0, 0, 0, *OFFSETS), "pixdim": (0.003, 0.003, 0.003), "unit": 1},
    ],
)
def test_grid_as_simpleitk_reads_it(tmp_path, forms):
    path = write_nifti(tmp_path / "v.nii", **forms)
    image, grid = sitk.ReadImage(str(path)), read_volume(path).grid
    assert np.allclose(grid.origin, image.GetOrigin(), atol=1e-5)
    assert np.allclose(grid.spacing, image.GetSpacing(), rtol=1e-6)
    assert np.allclose(grid.direction, image.GetDirection(), atol=1e-6)


def test_forms_that_disagree_are_refused_until_one_is_chosen(tmp_path):
    """The sform lies (9, -6, 6) mm away: 12.37 mm, as a coregistration leaves it."""
    moved = sform(offsets=(19, 14, 36))
    path = write_nifti(tmp_path / "v.nii", qform=(0, 0, 0, *OFFSETS), sform=moved)
    assert says(refused(path), "v.nii", "12.37 mm from the qform")
    for form, origin in (("qform", (-10, -20, 30)), ("sform", (-19, -14, 36))):
        volume = read_volume(path, nifti_form=form)
        assert np.allclose(volume.grid.origin, origin)
        (note,) = volume.notes
        assert note.endswith(f"took the {form}.")


@pytest.mark.parametrize(("away", "sound"), [(0.29, True), (0.31, False)])
def test_forms_may_differ_by_a_tenth_of_a_voxel(tmp_path, away, sound):
    near = sform(offsets=(10 + away, 20, 30))
    path = write_nifti(tmp_path / "v.nii", qform=(0, 0, 0, *OFFSETS), sform=near)
    if sound:
        assert read_volume(path).notes == ()
    else:
        assert "one place" in refused(path).message


def test_steps_of_the_sform_against_pixdim(tmp_path):
    path = write_nifti(tmp_path / "v.nii", pixdim=(1, 1, 1), sform=sform())
    assert says(refused(path), "v.nii", "pixdim 1 x 1 x 1 mm but sform steps 3 x 3 x 3 mm")
    assert read_volume(path, nifti_form="sform").spacing_mm == (3, 3, 3)
    assert read_volume(path, nifti_form="qform").spacing_mm == (1, 1, 1)


def test_a_skewed_sform_beside_a_sound_qform(tmp_path):
    skewed = np.array(sform(), float)
    skewed[0, 1] = 1.5
    path = write_nifti(tmp_path / "v.nii", qform=(0, 0, 0, *OFFSETS), sform=skewed)
    assert "qform" in refused(path).message
    assert read_volume(path, nifti_form="qform").spacing_mm == (3, 3, 3)
    assert "sheared" in refused(path, nifti_form="sform").message


@pytest.mark.parametrize("unit, mm", [(1, 1000.0), (3, 0.001)])
def test_other_units_than_mm_are_noted(tmp_path, unit, mm):
    plain = read_volume(write_nifti(tmp_path / "plain.nii", sform=sform()))
    volume = read_volume(write_nifti(tmp_path / "v.nii", unit=unit, sform=sform()))
    assert volume.spacing_mm == pytest.approx(np.multiply(plain.spacing_mm, mm))
    assert plain.notes == () and f"in units of {mm:g} mm" in volume.notes[0]


def test_an_unknown_unit(tmp_path):
    assert "xyzt_units" in refused(write_nifti(tmp_path / "v.nii", unit=5, sform=sform())).message


def test_a_mask_on_another_grid_is_refused_also_as_bookmarks(tmp_path):
    """The image is read by its qform; the mask holds the moved sform only."""
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir()
    masks.mkdir()
    write_nifti(images / "case.nii", qform=(0, 0, 0, *OFFSETS), sform=sform(offsets=(19, 14, 36)))
    labels = np.zeros(ARRAY.shape, np.uint8)
    labels[1, 1:4, 1:5] = 1
    write_nifti(masks / "case_mask.nii", labels, sform=sform(offsets=(19, 14, 36)))
    volume = read_volume(images / "case.nii", root=images, nifti_form="qform")
    with pytest.raises(DataError) as caught:
        read_labels(masks / "case_mask.nii", volume, root=masks)
    assert "12.37 mm apart" in caught.value.message
    (record,) = read_bookmarks(masks, image_root=images).records
    with pytest.raises(DataError) as caught:
        place(record, volume)
    assert says(caught.value, "masks/case_mask.nii, row 1", "grid of case.nii", "12.37 mm apart")
    moved = read_volume(images / "case.nii", root=images, nifti_form="sform")
    assert place(record, moved).slice_index == 1


def test_nifti_2(tmp_path):
    header = bytearray(544)
    struct.pack_into("<i8s2h", header, 0, 540, b"n+2\0\r\n\x1a\n", 4, 16)
    struct.pack_into("<8q", header, 16, 3, 6, 5, 4, 1, 1, 1, 1)
    struct.pack_into("<4d", header, 104, 1, 3, 3, 3)
    struct.pack_into("<q2d", header, 168, 544, 2.0, -1.0)
    struct.pack_into("<2i", header, 344, 0, 1)
    struct.pack_into("<12d", header, 400, *np.ravel(sform()))
    struct.pack_into("<i", header, 500, 2)
    (tmp_path / "v.nii").write_bytes(bytes(header) + ARRAY.tobytes())
    (tmp_path / "w.nii").write_bytes(bytes(header[:344]) + bytes(200) + ARRAY.tobytes())
    volume = read_volume(tmp_path / "v.nii")
    assert np.array_equal(np.flip(volume.array, (1, 2)), 2.0 * ARRAY - 1)
    assert np.allclose(volume.grid.origin, (-10, -20, 30))
    assert "no orientation" in read_volume(tmp_path / "w.nii").notes[0]


@pytest.mark.parametrize("magic", [b"ni1", b""])
def test_header_and_voxels_in_two_files(tmp_path, magic):
    """NIfTI pairs keep their place; Analyze 7.5 has none."""
    path = write_nifti(tmp_path / "v.hdr", sform=sform(), magic=magic)
    for volume in (read_volume(path), read_volume(tmp_path / "v.img")):
        array = volume.array if magic == b"" else np.flip(volume.array, (1, 2))
        assert np.array_equal(array, ARRAY)
        assert [("no orientation" in note) for note in volume.notes] == [True] * (magic == b"")
    (tmp_path / "v.img").unlink()
    assert says(refused(path), "v.hdr", "voxels beside the header")


def test_labels_that_a_scale_has_rounded(tmp_path):
    """uint8 with the factor 2 / 255: labels 1 and 2 come back as 0.99607 and 2."""
    labels = np.zeros(ARRAY.shape, np.uint8)
    labels[1, 1:3, 1:3], labels[2, 1:3, 1:3] = 127, 255
    path = write_nifti(tmp_path / "m.nii", labels, sform=sform())
    data = bytearray(path.read_bytes())
    struct.pack_into("<f", data, 112, 2 / 255)
    path.write_bytes(data)
    assert np.unique(read_label_volume(path).array).tolist() == [0, 1, 2]
    struct.pack_into("<f", data, 112, 1.95 / 255)  # 0.971 and 1.95
    path.write_bytes(data)
    with pytest.raises(DataError, match="whole, non-negative labels"):
        read_label_volume(path)


def test_nan_outside_the_field_of_view_is_filled_on_request(tmp_path):
    values = ARRAY.astype(np.float32) + 7
    values[:, :, 0] = np.nan
    path = write_nifti(tmp_path / "v.nii", values, sform=sform())
    assert "--nan fill" in refused(path).message
    volume = read_volume(path, nan="fill")
    stored = np.flip(volume.array, (1, 2))
    assert np.array_equal(stored[:, :, 1:], values[:, :, 1:])
    assert [plane[:, 0].tolist() for plane in stored] == [[8 + 30 * k] * 5 for k in range(4)]
    (note,) = volume.notes
    assert "17 % of the voxels are NaN" in note
    values[:, :, 1:] = 3
    write_nifti(tmp_path / "w.nii", values, sform=sform())
    assert "3 in every voxel" in refused(tmp_path / "w.nii", nan="fill").message
