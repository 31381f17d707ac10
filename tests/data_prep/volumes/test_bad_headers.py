"""NIfTI, NRRD and MetaImage headers that are not as they should be."""

import pytest
from bad_volumes import patched, refused, written

SPLIT = "Split it into volumes (SimpleITK: image[:, :, :, 0]) and give the one that was drawn on."

NIFTI_FIELDS = {
    "4D": (
        (40, "<5h", 4, 7, 6, 5, 3),
        "Expected a 3D volume but got 4D (7 x 6 x 5 x 3). " + SPLIT,
    ),
    "2D": ((40, "<h", 2), "Expected a 3D volume but got 2D. Give the whole volume."),
    "RGB": (
        (70, "<h", 128),
        "Expected one grey value per voxel but got colours (RGB). Export grey values.",
    ),
    "complex": (
        (70, "<h", 32),
        "Expected whole or real numbers but got NIfTI type 32. Convert the file.",
    ),
    "no spacing": (
        (80, "<3f", 0, 0, 0),
        "Expected a positive spacing but got no spacing. Repair the header.",
    ),
    "zero spacing": (
        (88, "<f", 0),
        "Expected a positive spacing but got 0.75 x 1.25 x 0 mm. Repair the header.",
    ),
    "negative spacing": (
        (84, "<f", -1),
        "Expected a positive spacing but got 0.75 x -1 x 3 mm. Repair the header.",
    ),
    "huge spacing": (
        (84, "<f", 20000),
        "Expected a spacing below 10000 mm but got 0.75 x 20000 x 3 mm. Repair the header.",
    ),
    "NaN spacing": (
        (84, "<f", float("nan")),
        "Expected a positive spacing but got 0.75 x nan x 3 mm. Repair the header.",
    ),
    "huge": (
        (42, "<3h", 32767, 32767, 32767),
        "Expected at most 536870912 voxels but got 32767 x 32767 x 32767. Repair the header, "
        "crop the volume, or raise the limit with MMGLAN_MAX_GIB in the environment.",
    ),
    "large for the file": (
        (42, "<3h", 700, 600, 500),
        "Expected 420000000 bytes of voxels but got 420: the file is cut off. Copy it again.",
    ),
    "no voxels": (
        (42, "<h", 0),
        "Expected at least one voxel per axis but got 0 x 6 x 5. Repair the header.",
    ),
    "offset": (
        (108, "<f", 1e9),
        "Expected voxels from a byte between 352 and 16777216 on but got 1e+09. Repair the header.",
    ),
    "offset beyond the end": (
        (108, "<f", 4096),
        "Expected 420 bytes of voxels but got 0: the file is cut off. Copy it again.",
    ),
    "magic": (
        (344, "<i", 0),
        "Expected a NIfTI file but got a header alone (.hdr). Check the format and the extension.",
    ),
    "skewed": (
        (280, "<f", 5.0),
        "Expected axes at right angles but got a sheared grid. Resample it to a right-angled one.",
    ),
}


@pytest.mark.parametrize("case", NIFTI_FIELDS)
def test_nifti_header(tmp_path, make_image, case):
    (offset, form, *values), message = NIFTI_FIELDS[case]
    path = patched(written(tmp_path, "v.nii", make_image()), offset, form, *values)
    if case == "skewed":  # only the sform holds the skew
        patched(path, 252, "<2h", 0, 2)
        patched(path, 284, "<f", 5.0)
    assert refused(path, tmp_path) == f"v.nii: {message}"


NRRD_LINES = {
    "no spacing": (
        b"space directions: (0.75,0,0) (0,1.25,0) (0,0,3)\n",
        b"",
        "Expected space directions or spacings in the header but got no spacing. Repair the "
        "header.",
    ),
    "4D": (
        b"dimension: 3",
        b"dimension: 4",
        "Expected 3 dimensions for the size 7 x 6 x 5 but the header states '4'. Repair the "
        "header.",
    ),
    "elsewhere": (
        b"encoding: raw",
        b"encoding: raw\ndata file: ../other.raw",
        "Expected one data file beside the header but got '../other.raw'. Store the volume in one "
        "file.",
    ),
    "missing data": (
        b"encoding: raw",
        b"encoding: raw\ndata file: v.raw",
        "Expected the data file 'v.raw' beside the header but found none. Copy it there.",
    ),
    "text": (
        b"encoding: raw",
        b"encoding: ascii",
        "Expected the encoding raw or gzip in 'encoding' but got 'ascii'. Convert the file.",
    ),
    "type": (
        b"type: short",
        b"type: block",
        "Expected a number type in 'type' but got 'block'. Convert the file.",
    ),
    "sizes": (
        b"sizes: 7 6 5",
        b"sizes: 7 6 five",
        "Expected whole numbers in 'sizes' but got '7 6 five'. Convert the file.",
    ),
    "huge": (
        b"sizes: 7 6 5",
        b"sizes: 70000 60000 50000",
        "Expected at most 536870912 voxels but got 70000 x 60000 x 50000. Repair the header, "
        "crop the volume, or raise the limit with MMGLAN_MAX_GIB in the environment.",
    ),
    "twice": (
        b"encoding: raw",
        b"encoding: raw\nencoding: gzip",
        "Expected 'encoding' once in the header but got it twice. Remove one.",
    ),
}


@pytest.mark.parametrize("case", NRRD_LINES)
def test_nrrd_header(tmp_path, make_image, case):
    old, new, message = NRRD_LINES[case]
    path = written(tmp_path, "v.nrrd", make_image())
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new))
    assert refused(path, tmp_path) == f"v.nrrd: {message}"


META_LINES = {
    "no spacing": (
        b"ElementSpacing = 0.75 1.25 3\n",
        b"",
        "Expected ElementSpacing in the header but got no spacing. Repair the header.",
    ),
    "zero spacing": (
        b"ElementSpacing = 0.75 1.25 3",
        b"ElementSpacing = 0.75 1.25 0",
        "Expected a positive spacing but got 0.75 x 1.25 x 0 mm. Repair the header.",
    ),
    "colours": (
        b"ElementType",
        b"ElementNumberOfChannels = 3\nElementType",
        "Expected one grey value per voxel but got colours or vectors (7 x 6 x 5 x 3). Export grey "
        "values.",
    ),
    "elsewhere": (
        b"ElementDataFile = LOCAL",
        b"ElementDataFile = /etc/passwd",
        "Expected one data file beside the header but got '/etc/passwd'. Store the volume in one "
        "file.",
    ),
    "list": (
        b"ElementDataFile = LOCAL",
        b"ElementDataFile = LIST",
        "Expected one data file beside the header but got 'LIST'. Store the volume in one file.",
    ),
    "4D": (
        b"DimSize = 7 6 5",
        b"DimSize = 7 6 5 2",
        "Expected a 3D volume but got 4D (7 x 6 x 5 x 2). " + SPLIT,
    ),
}


@pytest.mark.parametrize("case", META_LINES)
def test_metaimage_header(tmp_path, make_image, case):
    old, new, message = META_LINES[case]
    path = written(tmp_path, "v.mha", make_image())
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new))
    assert refused(path, tmp_path) == f"v.mha: {message}"
