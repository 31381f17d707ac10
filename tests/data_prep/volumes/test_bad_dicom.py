"""DICOM folders and files that are not as they should be: the exact line that the user gets."""

import os
import resource
import shutil
import struct
import tempfile
import zlib
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import JPEGLosslessSV1, RLELossless

from data_prep.errors import DataError
from data_prep.volumes import decode_server
from data_prep.volumes.volume import read_volume


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
        "one as folder#UID, choose with --modality or --series-description."
    )
    assert refused(f"{folder}#9.9", tmp_path) == (
        "series: Expected the series 9.9 but got only 1.2.3.1 (2 slices); 1.2.3.2 (2 slices). "
        "Correct the UID."
    )
    frames = f"{folder / 'IM003.dcm'}#1.2.3.1"
    assert refused(frames, tmp_path) == (
        "series/IM003.dcm: Expected a DICOM folder before '#' but got a file. Remove '#' and what "
        "follows."
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
        "reports: Expected a DICOM series but got 1 DICOM object(s) that are no images, the first "
        "a structured report (SR). Name the folder with the images."
    )
    assert refused(folder / "test-SR.dcm", tmp_path) == (
        "reports/test-SR.dcm: Expected a DICOM image but got a structured report (SR). Name the "
        "image series as volume, and the report with --bookmarks."
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


def test_headers_that_ask_for_gigabytes(make_series, tmp_path, monkeypatch):
    """Lengths that the file does not hold, and deflated data far larger than the file."""
    folder = make_series(count=3)
    path = folder / "IM010.dcm"
    data = path.read_bytes()
    at = 144 + int.from_bytes(data[140:144], "little")  # end of the meta information
    pixels = data.index(b"\xe0\x7f\x10\x00OW")
    path.write_bytes(data[: pixels + 8] + b"\xf0\xff\xff\xff" + data[pixels + 12 : -4000])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refused(folder, tmp_path).startswith("series/IM010.dcm: Expected 8192 bytes of pixels")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB

    monkeypatch.setenv("MMGLAN_MAX_GIB", "0.5")  # so 64 MiB of it: to stay quick
    packer = zlib.compressobj(9, wbits=-15)
    body = packer.compress(data[at:]) + b"".join(packer.compress(bytes(1 << 24)) for _ in range(5))
    body += packer.flush()
    for pack in (deflated, deflated_with_a_long_element, deflated_of_a_false_length):
        path.write_bytes(pack(data[:at]) + body)
        assert path.stat().st_size < 1_000_000
        assert refused(folder, tmp_path) == (
            "series/IM010.dcm: Expected at most 67108864 bytes of deflated data but got more. Save "
            "the file without deflating, or raise the limit with MMGLAN_MAX_GIB in the environment."
        )
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def deflated(meta, more=b"", wrong=0):
    """Meta information of a deflated file, made from that of an explicit one."""
    uid = meta.index(b"1.2.840.10008.1.2.1\0") - 2
    value = struct.pack("<H", 22) + b"1.2.840.10008.1.2.1.99"
    meta = meta[: uid - 6] + more + meta[uid - 6 : uid] + value + meta[uid + 22 :]
    return meta[:140] + struct.pack("<I", len(meta) - 144 + wrong) + meta[144:]


def deflated_with_a_long_element(meta):
    return deflated(meta, struct.pack("<HH2sHI", 2, 0x0F, b"OB", 0, 4096) + bytes(4096))


def deflated_of_a_false_length(meta):
    return deflated(meta, wrong=50)


def test_rle_that_unpacks_to_far_more_than_its_header_says(make_series, tmp_path):
    """64 times the bytes, which pydicom unpacks before it counts them."""

    def pack(data, k):
        segment = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * (2 << 20 if k == 1 else 64)
        data.PixelData = pydicom.encaps.encapsulate([segment])
        data["PixelData"].VR = "OB"
        data.BitsAllocated = data.BitsStored = 8
        data.HighBit = 7
        data.file_meta.TransferSyntaxUID = RLELossless

    folder = make_series(count=3, edit=pack)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refused(folder, tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_decoder_that_crashes_or_never_ends(make_series, jpeg_lossless, tmp_path, monkeypatch):
    """GDCM's JPEG decoder dies of a precision of 255 bits; the run must not."""

    def compress(data, k):
        stream = bytearray(jpeg_lossless(data.pixel_array))
        if k == 1:
            stream[6] = 255
        data.PixelData = pydicom.encaps.encapsulate([bytes(stream)])
        data["PixelData"].VR = "OB"
        data.file_meta.TransferSyntaxUID = JPEGLosslessSV1

    folder = make_series(count=3, edit=compress)
    failed = (
        "Expected pixels that can be decoded but their decoder failed: the file is damaged. Copy "
        "it again."
    )
    assert refused(folder, tmp_path) == f"series/IM010.dcm: {failed}"
    monkeypatch.setattr(decode_server, "TIMEOUT_S", 1e-4)
    monkeypatch.setattr(decode_server, "TIMEOUT_PER_MIB_S", 0.0)
    assert refused(folder, tmp_path) == f"series/IM003.dcm: {failed}"
