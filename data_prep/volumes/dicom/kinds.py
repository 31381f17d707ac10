"""What kind of file or object lies before us: DICOM by its first bytes, objects by their class."""

from __future__ import annotations

from pathlib import Path

_STORAGE = "1.2.840.10008.5.1.4.1.1"
# Objects beside images in exports that are no images of a scan, and what to do with each.
_OBJECTS = {
    f"{_STORAGE}.66.4": (
        "a segmentation (DICOM SEG)",
        "Name the image series as volume, and this as mask with --masks or --bookmarks.",
    ),
    f"{_STORAGE}.66.7": (
        "a label map segmentation (DICOM SEG)",
        "Name the image series as volume, and this as mask with --masks or --bookmarks.",
    ),
    f"{_STORAGE}.481.3": (
        "contours (RTSTRUCT)",
        "Name the image series as volume, and this as mask with --masks or --bookmarks.",
    ),
    f"{_STORAGE}.88.": (
        "a structured report (SR)",
        "Name the image series as volume, and the report with --bookmarks.",
    ),
    f"{_STORAGE}.11.": (
        "a presentation state",
        "Name the image series as volume, and the presentation states with --bookmarks.",
    ),
    f"{_STORAGE}.104.": ("an embedded document", "Name the images."),
    f"{_STORAGE}.66": ("raw data or a registration", "Name the images."),
    f"{_STORAGE}.67": ("a real world value mapping", "Name the images."),
    f"{_STORAGE}.481.": ("a radiotherapy object", "Name the images."),
    f"{_STORAGE}.9.": ("a waveform", "Name the images."),
    "1.2.840.10008.1.3.10": ("a DICOMDIR", "Name the folder that it lies in."),
}
_FIRST_ELEMENTS = tuple(b"\x02\x00" + bytes([n]) + b"\x00" for n in (0, 1, 2, 3, 0x10))
_FIRST_ELEMENTS += tuple(b"\x08\x00" + bytes([n]) + b"\x00" for n in (0, 1, 5, 8, 0x12, 0x16, 0x18))
_VALUE_TYPES = (b"UL", b"OB", b"UI", b"CS", b"DA", b"SH", b"LO")


def object_kind(sop_class: str) -> tuple[str, str] | None:
    """Say what an object that is no image is called, and what to do; None for images."""
    return next((what for uid, what in _OBJECTS.items() if sop_class.startswith(uid)), None)


def is_dicom(path: Path) -> bool:
    """Say whether a file is DICOM: by its mark, or by its first element if there is no preamble."""
    with open(path, "rb") as file:
        start = file.read(132)
    return start[128:] == b"DICM" or _is_bare(start)


def _is_bare(start: bytes) -> bool:
    """Say whether bytes begin as a data set of old kind, without preamble."""
    if start[:4] not in _FIRST_ELEMENTS:
        return False
    # Explicit: the type follows; implicit: a short even length.
    length = int.from_bytes(start[4:8], "little")
    return start[4:6] in _VALUE_TYPES or (0 < length <= 64 and length % 2 == 0)
