"""Voxels, masks and DeepLesion folders that are not as they should be."""

import gzip
import struct

import cv2
import numpy as np
import pytest
import SimpleITK as sitk
from bad_volumes import refused, written

from data_prep.errors import DataError
from data_prep.volumes.volume import read_labels, read_volume


def test_cut_off_and_damaged_files(tmp_path, make_image):
    image = make_image()
    for name in ("v.nii", "v.nrrd", "v.mha"):
        path = written(tmp_path, name, image)
        path.write_bytes(path.read_bytes()[:-20])
        assert refused(path, tmp_path) == (
            f"{name}: Expected 420 bytes of voxels but got 400: the file is cut off. Copy it again."
        )
    broken = (
        "Expected sound compressed data but its checksum is wrong or its end is missing. Copy the "
        "file again."
    )
    for name in ("z.nii.gz", "z.nrrd", "z.mha"):
        path = written(tmp_path, name, image, packed=True)
        data = path.read_bytes()
        path.write_bytes(data[:-20])
        assert refused(path, tmp_path) == f"{name}: {broken}"
        path.write_bytes(data[:-12] + bytes([data[-12] ^ 0x55]) + data[-11:])
        assert refused(path, tmp_path) == f"{name}: {broken}"
    noise = np.random.default_rng(0).integers(0, 300, (6, 40, 40)).astype(np.int16)
    path = written(tmp_path, "z.nii.gz", sitk.GetImageFromArray(noise), packed=True)
    for at in range(-8, 0):  # checksum and length
        data = bytearray(path.read_bytes())
        data[at] ^= 0x55
        (tmp_path / "y.nii.gz").write_bytes(data)
        assert refused(tmp_path / "y.nii.gz", tmp_path) == f"y.nii.gz: {broken}"


def test_compressed_data_far_longer_than_the_header_says(tmp_path, make_image):
    path = written(tmp_path, "v.nii", make_image())
    bomb = tmp_path / "bomb.nii.gz"
    bomb.write_bytes(gzip.compress(path.read_bytes() + bytes(64 << 20)))
    assert refused(bomb, tmp_path) == (
        "bomb.nii.gz: Expected 772 bytes of data but got far more. Repair the header."
    )


def test_wrong_extension(tmp_path, make_image):
    plain = written(tmp_path, "v.nii", make_image())
    packed = written(tmp_path, "v.nii.gz", make_image())
    (tmp_path / "a.nii.gz").write_bytes(plain.read_bytes())
    (tmp_path / "b.nii").write_bytes(packed.read_bytes())
    (tmp_path / "c.nrrd").write_bytes(plain.read_bytes())
    (tmp_path / "d.mha").write_bytes(plain.read_bytes())
    (tmp_path / "e.txt").write_bytes(plain.read_bytes())
    (tmp_path / "f.nii").write_bytes(b"")
    (tmp_path / "g.nii").write_bytes(struct.pack("<i4s", 540, b"n+2\0") + bytes(600))
    assert refused(tmp_path / "a.nii.gz", tmp_path) == (
        "a.nii.gz: Expected the extension .nii for these contents but got .nii.gz. Rename the file."
    )
    assert refused(tmp_path / "b.nii", tmp_path) == (
        "b.nii: Expected the extension .nii.gz for these contents but got .nii. Rename the file."
    )
    other = "file but got other contents. Check the format and the extension."
    assert refused(tmp_path / "c.nrrd", tmp_path) == f"c.nrrd: Expected a NRRD {other}"
    assert refused(tmp_path / "d.mha", tmp_path) == f"d.mha: Expected a MetaImage {other}"
    assert refused(tmp_path / "f.nii", tmp_path) == f"f.nii: Expected a NIfTI {other}"
    assert refused(tmp_path / "g.nii", tmp_path) == (
        "g.nii: Expected 3 axes but got 0. Repair the header."
    )
    assert refused(tmp_path / "e.txt", tmp_path) == (
        "e.txt: Expected DICOM, NIfTI (.nii, .nii.gz), NRRD (.nrrd) or MetaImage (.mha, .mhd) but "
        "got none of these. Check the file and its extension."
    )


def test_values(tmp_path, make_image):
    array = sitk.GetArrayFromImage(make_image()).astype(np.float32)
    for bad in (np.nan, np.inf):
        array[2, 1, 1] = array[3, 0, 0] = bad
        path = written(tmp_path, "v.nii.gz", sitk.GetImageFromArray(array))
        assert refused(path, tmp_path) == (
            "v.nii.gz, slice 2: Expected finite intensities but got 2 NaN or infinite voxels. "
            "Fill NaN outside the field of view with --nan fill, or replace them with a number."
        )
    beyond = sitk.GetImageFromArray(np.where(array > 100, 1e300, 0.0))
    assert "NaN or infinite voxels" in refused(written(tmp_path, "w.nrrd", beyond), tmp_path)
    flat = sitk.GetImageFromArray(np.full((3, 4, 5), 12, np.int16))
    assert refused(written(tmp_path, "flat.nrrd", flat), tmp_path) == (
        "flat.nrrd: Expected an image but got 12 in every voxel. Export it again."
    )
    single = make_image(size=(5, 4, 1))
    assert refused(written(tmp_path, "one.mha", single), tmp_path) == (
        "one.mha: Expected at least 2 slices but got 1. Give the whole volume."
    )


def test_masks(tmp_path, make_image):
    image = make_image()
    volume = read_volume(written(tmp_path, "image.nrrd", image), root=tmp_path)

    def refused_mask(name, mask):
        with pytest.raises(DataError) as caught:
            read_labels(written(tmp_path, name, mask), volume, root=tmp_path)
        return str(caught.value)

    labels = sitk.Cast(image > 100, sitk.sitkUInt8)
    assert refused_mask("small.nrrd", labels[:-1]) == (
        "small.nrrd: Expected a mask on the grid of image.nrrd with 7 x 6 x 5 voxels but got "
        "6 x 6 x 5. Resample the mask to the image, to the nearest voxel."
    )
    moved = sitk.Image(labels)
    moved.SetOrigin((0.0, 7.5, 30.0))
    assert refused_mask("moved.nrrd", moved) == (
        "moved.nrrd: Expected a mask on the grid of image.nrrd with the same position but got "
        "corners up to 11 mm apart. If it was drawn on these voxels and lost its place, copy the "
        "image's to it (SimpleITK: mask.CopyInformation(image)), otherwise resample the mask to "
        "the image."
    )
    assert refused_mask("empty.nrrd", labels * 0) == (
        "empty.nrrd: Expected at least one labelled voxel but got an empty mask. Remove it or list "
        "the volume as one without lesions."
    )
    for name, mask in (
        ("half.nrrd", sitk.Cast(labels, sitk.sitkFloat32) * 0.5),
        ("negative.nrrd", sitk.Cast(labels, sitk.sitkInt16) * -1),
    ):
        assert refused_mask(name, mask) == (
            f"{name}: Expected whole, non-negative labels but got other values. Save the mask as a "
            "label map."
        )


def test_deeplesion_folders(tmp_path):
    folder = tmp_path / "000001_01_01"
    folder.mkdir()
    plane = np.arange(120, dtype=np.uint16).reshape(12, 10) + 32768
    for number in (1, 2, 3):
        cv2.imwrite(str(folder / f"{number:03d}.png"), plane)
    assert refused(folder, tmp_path) == (
        "000001_01_01: Expected the spacing in DL_info.csv but got no spacing. Put DL_info.csv "
        "into the image folder or beside it."
    )
    spacing = {"spacing_mm": (1.0, 1.0, 2.0)}
    assert read_volume(folder, **spacing).array.shape == (3, 12, 10)

    def with_slice(content):
        (folder / "002.png").write_bytes(content)
        return refused(folder, tmp_path, **spacing)

    sound = (folder / "002.png").read_bytes()
    eight_bits = cv2.imencode(".png", np.zeros((12, 10), np.uint8))[1].tobytes()
    colours = cv2.imencode(".png", np.zeros((12, 10, 3), np.uint16))[1].tobytes()
    smaller = cv2.imencode(".png", plane[:-1])[1].tobytes()
    name = "000001_01_01/002.png"
    assert with_slice(eight_bits) == (
        f"{name}: Expected 16-bit grey PNG slices but got 8 bits. Use DeepLesion's own PNG files."
    )
    assert with_slice(colours) == (
        f"{name}: Expected 16-bit grey PNG slices but got colours. Use DeepLesion's own PNG files."
    )
    assert with_slice(sound[:-30]) == (
        f"{name}: Expected a whole PNG file but its end is missing: it is cut off. Copy it again."
    )
    assert with_slice(b"text") == (
        f"{name}: Expected a PNG slice but got other contents. Copy it again."
    )
    assert with_slice(smaller) == (
        "000001_01_01, slice 1: Expected slices of one size but got 10 x 12 and 10 x 11. Separate "
        "the series."
    )
    huge = sound[:16] + struct.pack(">II", 2**31 - 1, 2**31 - 1) + sound[24:]
    assert with_slice(huge) == (
        f"{name}: Expected a slice of at most 67108864 pixels but got 2147483647 x "
        "2147483647. Remove it. If that is meant, raise the limit with MMGLAN_MAX_GIB in the "
        "environment."
    )
    (folder / "002.png").unlink()
    assert refused(folder, tmp_path, **spacing) == (
        "000001_01_01: Expected consecutive slices but got a gap after slice number 1. Add the "
        "missing slices, or name one block, 000001_01_01#1-1."
    )
    (folder / "002.png").write_bytes(sound)
    (folder / "key.png").write_bytes(sound)
    assert refused(folder, tmp_path, **spacing) == (
        "000001_01_01/key.png: Expected slices named by their numbers of at most 9 digits "
        "(001.png) but got another name. Rename or remove it."
    )
