"""The text headers of NRRD and MetaImage files, checked line by line."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np

from data_prep.errors import DataError, quoted
from data_prep.paths import resolve_under
from data_prep.volumes.itk.header import NO_ORIENTATION, Header, check_spacing

_MAX_HEADER = 1 << 20
# Those of NRRD that tell the patient's left from right; SimpleITK takes any other as LPS.
_PATIENT_SPACES = ("lps", "left-posterior-superior", "ras", "right-anterior-superior")
_PATIENT_SPACES += ("las", "left-anterior-superior")
_SEGMENT = re.compile(r"Segment(\d{1,6})_Name")
_NRRD_TYPES = {
    "i1": "signed char|int8|int8_t",
    "u1": "uchar|unsigned char|uint8|uint8_t",
    "i2": "short|short int|signed short|signed short int|int16|int16_t",
    "u2": "ushort|unsigned short|unsigned short int|uint16|uint16_t",
    "i4": "int|signed int|int32|int32_t",
    "u4": "uint|unsigned int|uint32|uint32_t",
    "i8": "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t",
    "u8": "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t",
    "f4": "float",
    "f8": "double",
}
_META_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}


def nrrd(path: Path, name: str) -> Header:
    """Read and check the header of `.nrrd` and `.nhdr`."""
    start = _start(path)
    if not start.startswith(b"NRRD000"):
        raise _foreign("NRRD", name)
    ends = [(at, len(m)) for m in (b"\n\n", b"\r\n\r\n") if (at := start.find(m)) >= 0]
    end, skip = min(ends, default=(len(start), 0))
    fields: dict[str, str] = {}
    stated: dict[str, str] = {}
    for line in _lines(start[:end], name)[1:]:
        key, colon, value = line.partition(":")
        if line.startswith("#") or not colon:
            continue
        if value.startswith("="):
            stated[key.strip()] = value[1:].strip()
        else:
            _once(fields, key.strip().lower(), value.strip(), name)
    size = _integers(fields.get("sizes", ""), "sizes", name)
    dimension = _integers(fields.get("dimension", ""), "dimension", name)
    if dimension != (3,) or len(size) != 3:
        _refuse_axes(size, fields.get("kinds", ""), fields.get("dimension", ""), name)
    kind = fields.get("type", "").lower()
    code = next((c for c, names in _NRRD_TYPES.items() if kind in names.split("|")), None)
    if code is None:
        raise _wrong("a number type", "type", kind, name)
    spacing = _nrrd_spacing(fields, name)
    encoding = fields.get("encoding", "").lower()
    if encoding not in ("raw", "gzip", "gz"):
        raise _wrong("the encoding raw or gzip", "encoding", encoding, name)
    for key in ("line skip", "lineskip", "byte skip", "byteskip"):
        if fields.get(key, "0") != "0":
            raise _wrong("no bytes to skip", key, fields[key], name)
    endian = fields.get("endian", "" if int(code[1]) > 1 else sys.byteorder).lower()
    if endian not in ("little", "big"):
        raise _wrong("little or big", "endian", endian, name)
    notes = [] if "space" in fields else [f"{name}: {NO_ORIENTATION}"]
    if fields.get("space", "lps").lower() not in _PATIENT_SPACES:
        notes.append(f"{name}: its space names no directions of the patient; LPS is assumed.")
    if {"old min", "oldmin", "old max", "oldmax"} & set(fields):
        notes.append(
            f"{name}: the header states the range of values before they were quantised (old min,"
            " old max); the values as stored were taken."
        )
    detached = fields.get("data file", fields.get("datafile"))
    return Header(
        size,
        np.dtype(("<" if endian == "little" else ">") + code),
        path if detached is None else _beside(path, detached, name),
        end + skip if detached is None else 0,
        None if encoding == "raw" else "gzip",
        notes=tuple(notes),
        spacing=spacing,
        segment_names=_segment_names(stated, name),
    )


def _segment_names(stated: dict[str, str], name: str) -> dict[int, str]:
    """Return the names of labels that 3D Slicer writes: `Segment0_Name:=…`."""
    found = {}
    for key, value in stated.items():
        if match := _SEGMENT.fullmatch(key):
            start = f"Segment{match[1]}_"
            label = stated.get(f"{start}LabelValue", "")
            if not label.isdecimal():
                raise _wrong("a whole number", f"{start}LabelValue", label, name)
            found[int(label[:12])] = value
    return found


def metaimage(path: Path, name: str) -> Header:
    """Read and check the header of `.mha` and `.mhd`."""
    start = _start(path)
    at = start.find(b"ElementDataFile")
    end = start.find(b"\n", at)
    if at < 0 or b"=" not in start[:200]:
        raise _foreign("MetaImage", name)
    end = len(start) if end < 0 else end
    fields: dict[str, str] = {}
    for line in _lines(start[:end], name):
        key, equals, value = line.partition("=")
        if equals:
            _once(fields, key.strip(), value.strip(), name)
    if fields.get("ObjectType", "Image") != "Image":
        raise _wrong("Image", "ObjectType", fields["ObjectType"], name)
    size = _integers(fields.get("DimSize", ""), "DimSize", name)
    if _integers(fields.get("NDims", ""), "NDims", name) != (3,) or len(size) != 3:
        _refuse_axes(size, "", fields.get("NDims", ""), name)
    if fields.get("ElementNumberOfChannels", "1") != "1":
        _refuse_axes((*size, 3), "vector", "3", name)
    kind = fields.get("ElementType", "")
    if kind not in _META_TYPES:
        raise _wrong("a number type", "ElementType", kind, name)
    if "ElementSpacing" not in fields:
        raise DataError(
            "Expected ElementSpacing in the header but got no spacing. Repair the header.",
            path=name,
        )
    _check_units(fields.get("DistanceUnits", "mm").split(), "DistanceUnits", name)
    spacing = _reals(fields["ElementSpacing"], "ElementSpacing", name)
    if len(spacing) != 3:
        raise _wrong("3 numbers", "ElementSpacing", fields["ElementSpacing"], name)
    check_spacing(spacing, name)
    if not _true(fields, "BinaryData", "True"):
        raise _wrong("True", "BinaryData", fields["BinaryData"], name)
    if fields.get("HeaderSize", "0") not in ("0", "-1"):
        raise _wrong("no HeaderSize", "HeaderSize", fields["HeaderSize"], name)
    slope, offset = (
        _reals(fields.get(f"ElementToIntensityFunction{part}", default), part, name)
        for part, default in (("Slope", "1"), ("Offset", "0"))
    )
    if (
        len(slope) != 1
        or len(offset) != 1
        or not np.isfinite([*slope, *offset]).all()
        or not slope[0]
    ):
        raise _wrong("a slope and an offset", "ElementToIntensityFunction", f"{slope}", name)
    scaled = (slope[0], offset[0]) != (1.0, 0.0)
    note = f"{name}: the values were scaled by {slope[0]:g} and {offset[0]:g} added, as it says."
    big = _true(fields, "BinaryDataByteOrderMSB") or _true(fields, "ElementByteOrderMSB")
    local = fields["ElementDataFile"].upper() == "LOCAL"
    return Header(
        size,
        np.dtype((">" if big else "<") + _META_TYPES[kind]),
        path if local else _beside(path, fields["ElementDataFile"], name),
        min(end + 1, len(start)) if local else 0,
        "zlib" if _true(fields, "CompressedData") else None,
        slope=slope[0],
        intercept=offset[0],
        notes=(note,) if scaled else (),
        spacing=spacing,
    )


def _start(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(_MAX_HEADER)


def _lines(header: bytes, name: str) -> list[str]:
    lines = header.decode("latin-1").replace("\r", "").split("\n")
    # The C parsers behind SimpleITK read lines into buffers of their own size.
    if any(len(line) > 4000 for line in lines) or any("\0" in line for line in lines):
        raise DataError(
            "Expected a text header but got lines that are no text. Repair the header.", path=name
        )
    return lines


def _once(fields: dict[str, str], key: str, value: str, name: str) -> None:
    if key in fields:
        raise DataError(
            f"Expected {quoted(key)} once in the header but got it twice. Remove one.", path=name
        )
    fields[key] = value


def _integers(text: str, key: str, name: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split()[:16])
    except ValueError:
        raise _wrong("whole numbers", key, text, name) from None


def _reals(text: str, key: str, name: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split()[:16])
    except ValueError:
        raise _wrong("numbers", key, text, name) from None


def _true(fields: dict[str, str], key: str, default: str = "False") -> bool:
    return fields.get(key, default).lower()[:1] in ("t", "y", "1")


def _nrrd_spacing(fields: dict[str, str], name: str) -> tuple[float, ...]:
    units = fields.get("space units", fields.get("units", ""))
    _check_units(units.replace('"', " ").split(), "space units", name)
    if "space directions" in fields:
        text = fields["space directions"]
        vectors = [
            _reals(part.replace(",", " "), "space directions", name)
            for part in text.replace(")", "").split("(")[1:]
        ]
        if "none" in text or len(vectors) != 3 or any(len(v) != 3 for v in vectors):
            raise _wrong("3 directions of 3 numbers", "space directions", text, name)
        spacing = tuple(float(np.linalg.norm(v)) for v in vectors)
    elif "spacings" in fields:
        spacing = _reals(fields["spacings"], "spacings", name)
        if len(spacing) != 3:
            raise _wrong("3 numbers", "spacings", fields["spacings"], name)
    else:
        raise DataError(
            "Expected space directions or spacings in the header but got no spacing. Repair the "
            "header.",
            path=name,
        )
    check_spacing(spacing, name)
    return spacing


def _check_units(units: list[str], key: str, name: str) -> None:
    """Refuse other units of length than mm, which SimpleITK would take as mm."""
    other = [unit for unit in units if unit.lower() not in ("mm", "millimeter", "?", "none", "")]
    if other:
        raise DataError(
            f"Expected mm in {quoted(key)} but got {quoted(other[0])}. Save the volume with its "
            "spacing in mm.",
            path=name,
        )


def _refuse_axes(size: tuple[int, ...], kinds: str, stated: str, name: str) -> None:
    shown = " x ".join(map(str, size))
    if kinds.lower().startswith("list"):
        raise DataError(
            f"Expected segments apart from each other but got {size[0]} layers of segments that"
            f" overlap ({shown}). Save each as a label map of its own, e.g. with 3D Slicer.",
            path=name,
        )
    if any(word in kinds.lower() for word in ("rgb", "vector", "color", "colour")):
        raise DataError(
            f"Expected one grey value per voxel but got colours or vectors ({shown}). Export grey "
            "values.",
            path=name,
        )
    if len(size) == 3:
        raise DataError(
            f"Expected 3 dimensions for the size {shown} but the header states {quoted(stated)}. "
            "Repair the header.",
            path=name,
        )
    advice = "Give the whole volume."
    if len(size) > 3:
        advice = (
            "Split it into volumes (SimpleITK: image[:, :, :, 0]) and give the one that was drawn"
            " on."
        )
    raise DataError(f"Expected a 3D volume but got {len(size)}D ({shown}). {advice}", path=name)


def _beside(path: Path, written: str, name: str) -> Path:
    """Return the file that a header names: one plain file in the header's own folder."""
    if "/" in written or "\\" in written or "%" in written or written.split()[:1] == ["LIST"]:
        raise DataError(
            f"Expected one data file beside the header but got {quoted(written)}. Store the "
            "volume in one file.",
            path=name,
        )
    data = resolve_under(path.parent, written)
    if not data.is_file():
        raise DataError(
            f"Expected the data file {quoted(written)} beside the header but found none. Copy it "
            "there.",
            path=name,
        )
    return data


def _wrong(expected: str, key: str, got: str, name: str) -> DataError:
    return DataError(
        f"Expected {expected} in {quoted(key)} but got {quoted(got)}. Convert the file.", path=name
    )


def _foreign(kind: str, name: str) -> DataError:
    return DataError(
        f"Expected a {kind} file but got other contents. Check the format and the extension.",
        path=name,
    )
