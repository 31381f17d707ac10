"""Volume files with one fault, and what reading them says."""

import struct

import pytest
import SimpleITK as sitk

from data_prep.errors import DataError
from data_prep.volumes.volume import read_volume


def refused(path, root, **options):
    """Return the one line with which a volume is refused."""
    with pytest.raises(DataError) as caught:
        read_volume(path, root=root, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def written(tmp_path, name, image, packed=False):
    """Write an image; returns its path."""
    sitk.WriteImage(image, str(tmp_path / name), packed)
    return tmp_path / name


def patched(path, offset, form, *values):
    """Write numbers into a file, from a byte on."""
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, offset, *values)
    path.write_bytes(data)
    return path
