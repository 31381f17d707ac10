"""DICOM folders and files that are not as they should be: the exact line that the user gets."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from data_prep.errors import DataError
from data_prep.volumes import read_volume


def refused(path, root, **options):
    with pytest.raises(DataError) as caught:
        read_volume(path, root=root, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_one_slice_only(make_series, tmp_path):
    folder = make_series(count=1)
    assert refused(folder, tmp_path) == (
        "series: Expected at least 2 slices but got 1. Give the whole volume."
    )
    assert read_volume(folder, min_slices=1).array.shape == (1, 64, 64)


def test_several_series(make_series, tmp_path):
    folder = make_series(count=2, series="1.2.3.1")
    make_series("more", 2, series="1.2.3.2")
    for path in (tmp_path / "more").iterdir():
        path.rename(folder / f"b{path.name}")
    assert refused(folder, tmp_path) == (
        "series: Expected one image series but got 2: 1.2.3.1 (2 slices); 1.2.3.2 (2 slices). Name "
        "one as folder#UID."
    )
    assert refused(f"{folder}#9.9", tmp_path) == (
        "series: Expected the series 9.9 but got only 1.2.3.1 (2 slices); 1.2.3.2 (2 slices). "
        "Correct the UID."
    )
    # The rule refuses a tie rather than to pick one silently.
    assert "Expected one image series" in refused(folder, tmp_path, series_rule="most-slices")


def test_truncated_file(make_series, tmp_path):
    folder = make_series()
    path = folder / "IM010.dcm"
    path.write_bytes(path.read_bytes()[:700])
    assert refused(folder, tmp_path) == (
        "series/IM010.dcm: Expected an image but got a header without its size: the file is cut "
        "off, or no image. Copy it again or remove it."
    )


def test_not_an_image(tmp_path):
    folder = tmp_path / "reports"
    folder.mkdir()
    shutil.copy(get_testdata_file("test-SR.dcm"), folder)
    assert refused(folder, tmp_path) == (
        "reports: Expected a DICOM series but got 1 DICOM object(s) that are no images. Name the "
        "folder with the images."
    )
    assert refused(folder / "test-SR.dcm", tmp_path) == (
        "reports/test-SR.dcm: Expected a DICOM image but got another kind of object (no pixels). "
        "Name the images."
    )


def test_no_pixels(make_series, tmp_path):
    folder = make_series(edit=lambda data, k: data.pop("PixelData"))
    assert refused(folder, tmp_path) == (
        "series/IM003.dcm: Expected an image but got no pixels. Export it again."
    )


def test_encrypted_file(make_series, tmp_path):
    folder = make_series()
    enveloped = bytes.fromhex("308006092a864886f70d010703a080") + bytes(500)
    (folder / "IM010.dcm").write_bytes(enveloped)
    assert refused(folder, tmp_path) == (
        "series/IM010.dcm: Expected a DICOM file but got an encrypted one. Decrypt it first."
    )


def test_empty_file_and_foreign_file(make_series, tmp_path):
    folder = make_series()
    (folder / "IM010.dcm").write_bytes(b"")
    assert refused(folder, tmp_path) == (
        "series/IM010.dcm: Expected an image but got an empty file. Copy it again."
    )
    (folder / "IM010.dcm").write_bytes(b"something else")
    assert refused(folder, tmp_path) == (
        "series/IM010.dcm: Expected DICOM, NIfTI (.nii, .nii.gz), NRRD (.nrrd) or MetaImage (.mha, "
        ".mhd) but got none of these. Check the file and its extension."
    )


def test_folders(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "nested" / "one").mkdir(parents=True)
    (tmp_path / "nested" / "two").mkdir(parents=True)
    assert refused(tmp_path / "empty", tmp_path) == (
        "empty: Expected a folder with slices but got an empty folder. Export the series again."
    )
    assert refused(tmp_path / "nested", tmp_path) == (
        "nested: Expected a DICOM series but got no DICOM files. Name the folder with the images."
    )
    assert refused(tmp_path / "nowhere", tmp_path) == (
        "nowhere: Expected a volume but found nothing at this path. Correct the path."
    )


def test_unreadable_folder():
    with tempfile.TemporaryDirectory() as parent:
        os.chmod(parent, 0o755)
        folder = Path(parent) / "locked"
        folder.mkdir(mode=0o000)
        user = os.geteuid()
        try:
            if user == 0:
                os.seteuid(65534)  # root reads everything
            assert refused(folder, parent) == (
                "locked: Expected readable data but the system refuses it. Check the rights and "
                "the disk."
            )
        finally:
            os.seteuid(user)
            folder.chmod(0o700)


def test_frames_without_their_geometry(make_multiframe, tmp_path):
    def drop_position(data):
        del data.PerFrameFunctionalGroupsSequence[2]["PlanePositionSequence"]

    def drop_group(data):
        del data.PerFrameFunctionalGroupsSequence[3]

    def lie(data):
        data.NumberOfFrames = 2**31 - 1

    assert refused(make_multiframe("a.dcm", edit=drop_position), tmp_path) == (
        "a.dcm: Expected ImagePositionPatient in the header but got none. Export the images with "
        "it."
    )
    assert refused(make_multiframe("b.dcm", edit=drop_group), tmp_path) == (
        "b.dcm: Expected 4 functional groups but got 3. Export the file again."
    )
    assert refused(make_multiframe("c.dcm", edit=lie), tmp_path) == (
        "c.dcm: Expected at most 16384 frames but got 2147483647. Repair the header."
    )
    assert refused(make_multiframe("d.dcm", heights=(0, 2, 2, 4)), tmp_path) == (
        "d.dcm, slice 1: Expected one image per position but got a duplicate: frame 2 and frame 3. "
        "Remove one."
    )
