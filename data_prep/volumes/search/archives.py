"""Archives among the data: zip is read where it is named as images, the others are told."""

from __future__ import annotations

_ENDINGS = (".zip", ".tar", ".tgz", ".tbz2", ".txz", ".7z", ".rar")
_ENDINGS += tuple(f".tar.{packed}" for packed in ("gz", "bz2", "xz", "zst"))
# First bytes, where they stand, and what such a file is called.
_STARTS = (
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a rar archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x1f\x8b", "a file packed with gzip"),
    (0, b"BZh", "a file packed with bzip2"),
    (0, b"\xfd7zXZ\x00", "a file packed with xz"),
    (0, b"\x28\xb5\x2f\xfd", "a file packed with Zstandard"),
)


def is_called_archive(name: str) -> bool:
    """Say whether a file is called as an archive is.

    >>> is_called_archive("study.TAR.GZ"), is_called_archive("case7.nii.gz")
    (True, False)
    """
    return name.lower().endswith(_ENDINGS)


def archive_kind(start: bytes) -> str | None:
    """Return what messages call an archive or a packed file, by its first 512 bytes.

    >>> archive_kind(bytes.fromhex("1f8b08"))
    'a file packed with gzip'
    """
    found = (what for at, mark, what in _STARTS if start[at : at + len(mark)] == mark)
    return next(found, None)
