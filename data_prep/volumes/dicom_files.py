"""DICOM in: a folder with a series, or one multi-frame file."""

from __future__ import annotations

import os
import re
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from data_prep.errors import DataError
from data_prep.volumes import dicom_decode_server
from data_prep.volumes.dicom_frames import (
    find,
    frame_count,
    frame_groups,
    slices_of,
    stored_pixels,
)
from data_prep.volumes.dicom_kinds import is_dicom, object_kind
from data_prep.volumes.dicom_slice_order import SliceInfo, order_slices
from data_prep.volumes.dicom_values import real_values, value_notes
from data_prep.volumes.file_names import VOLUME_SUFFIXES
from data_prep.volumes.geometry import Grid
from data_prep.volumes.instance_numbers import instance_numbers, numbering_note
from data_prep.volumes.read_options import ReadOptions
from data_prep.volumes.stored import MAX_VOXELS, Stored, check_size, only_data_errors

_FOREIGN = (
    ".png",
    ".txt",
    ".csv",
    ".tsv",
    ".json",
    ".xml",
    ".pdf",
    ".html",
    ".md",
    ".jpg",
    ".jpeg",
)
_FOREIGN += (".zip", *VOLUME_SUFFIXES)
# Endings of letters that no slice has; names without ending or with numbers may be slices.
_OTHER_ENDING = re.compile(r"\.(?!(?:dcm|dicom|dic|ima|img|gz)$)[a-z][a-z0-9_]{0,9}$")
_FOREIGN_NAMES = ("dicomdir", "thumbs.db", "desktop.ini", "lockfile", "version")
# Start of a file encrypted as a whole: CMS enveloped data, OID 1.2.840.113549.1.7.3.
_ENVELOPED = bytes.fromhex("06092a864886f70d010703")


# Transfer syntax "Deflated Explicit VR Little Endian".
_DEFLATED = b"1.2.840.10008.1.2.1.99"


@dataclass(frozen=True)
class _Image:
    path: Path
    name: str
    data: Dataset

    @property
    def series(self) -> str:
        return str(self.data.get("SeriesInstanceUID", ""))


def read_file(path: Path, name: str, options: ReadOptions) -> Stored:
    """Read a multi-frame DICOM file."""
    if not is_dicom(path):
        _refuse_foreign(path, name)
    image = _Image(path, name, read_header(path, name))
    if not _is_image(image):
        what, advice = object_kind(_sop_class(image))
        raise DataError(f"Expected a DICOM image but got {what}. {advice}", path=name)
    return _read([image], name, options)


def read_folder(path: Path, name: str, options: ReadOptions) -> Stored:
    """Read one image series of a folder; see `data_prep.read_volume` for the choice."""
    series: dict[str, list[_Image]] = {}
    others: list[str] = []
    images, left_out = _images(path, name)
    for image in images:
        if _is_image(image):
            series.setdefault(image.series, []).append(image)
        else:
            others.append(object_kind(_sop_class(image))[0])
    if not series:
        got = "no DICOM files"
        if others:
            got = f"{len(others)} DICOM object(s) that are no images, the first {others[0]}"
        raise DataError(
            f"Expected a DICOM series but got {got}. Name the folder with the images.", path=name
        )
    chosen, notes = _choose(series, name, options.series_uid, options.series_rule)
    stored = _read(series[chosen], name, options)
    return replace(stored, notes=notes + left_out + stored.notes)


def read_header(path: Path, name: str, *, with_pixels: bool = False) -> Dataset:
    """Parse a DICOM file without echoing what it holds, be it in errors or warnings."""
    with warnings.catch_warnings(), only_data_errors(name):
        # pydicom's warnings quote values of the file.
        warnings.simplefilter("ignore")
        _check_deflated(path, name)
        data = pydicom.dcmread(path, stop_before_pixels=not with_pixels, force=is_dicom(path))
        if "TransferSyntaxUID" not in data.file_meta:  # no preamble: it is told by how it was read
            implicit, little = data.original_encoding
            syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
            data.file_meta.TransferSyntaxUID = syntax if little else ExplicitVRBigEndian
        return data


def _check_deflated(path: Path, name: str) -> None:
    """Refuse a deflated file that would fill the memory; pydicom inflates without a limit."""
    with open(path, "rb") as file:
        start = file.read(1024)
        if _DEFLATED not in start:
            return
        # The deflated part follows the file's meta information, whose length stands first.
        file.seek(144 + int.from_bytes(start[140:144], "little"))
        engine, size = zlib.decompressobj(-15), 0
        pending = file.read(1 << 20)
        while pending and not engine.eof:
            size += len(engine.decompress(pending, 1 << 24))
            if size > MAX_VOXELS:
                raise DataError(
                    f"Expected at most {MAX_VOXELS} bytes of deflated data but got more. Save the "
                    "file without deflating.",
                    path=name,
                )
            pending = engine.unconsumed_tail or file.read(1 << 20)


def lies_beside(name: str) -> bool:
    """Say whether a file name is not a slice's but of what exports put beside the slices."""
    lower = name.lower()
    return lower.startswith(".") or lower in _FOREIGN_NAMES or lower.endswith(_FOREIGN)


def _images(folder: Path, name: str) -> tuple[list[_Image], tuple[str, ...]]:
    """Read the headers of a folder; also a note on strange files that were left out."""
    images, strange = [], []
    for entry in sorted(os.listdir(folder)):
        path = folder / entry
        lower = entry.lower()
        if path.is_dir() or lower.startswith(".") or lower in _FOREIGN_NAMES:
            continue
        label = entry if name == "." else f"{name}/{entry}"
        if not is_dicom(path):
            if lower.endswith(_FOREIGN):
                continue
            if _OTHER_ENDING.search(lower) and path.stat().st_size:
                strange.append(label)
                continue
            _refuse_foreign(path, label)
        images.append(_Image(path, label, read_header(path, label)))
    notes = ()
    if strange and images:
        shown = ", ".join(strange[:3])
        notes = (f"{name}: {len(strange)} files beside the slices were left out: {shown}.",)
    elif strange:
        _refuse_foreign(folder / strange[0].rpartition("/")[2], strange[0])
    return images, notes


def _refuse_foreign(path: Path, name: str) -> None:
    with open(path, "rb") as file:
        start = file.read(64)
    if not start:
        raise DataError("Expected an image but got an empty file. Copy it again.", path=name)
    if _ENVELOPED in start:
        raise DataError(
            "Expected a DICOM file but got an encrypted one. Decrypt it first.", path=name
        )
    for mark, what, advice in (
        (b"PK\x03\x04", "a zip archive", "Unpack it and name the folder."),
        (b"\x1f\x8b", "a file packed with gzip", "Unpack it, e.g. with gunzip."),
    ):
        if start.startswith(mark):
            raise DataError(f"Expected an image but got {what}. {advice}", path=name)
    raise DataError(
        "Expected DICOM, NIfTI (.nii, .nii.gz), NRRD (.nrrd) or MetaImage (.mha, .mhd) but got "
        "none of these. Check the file and its extension.",
        path=name,
    )


def _is_image(image: _Image) -> bool:
    data = image.data
    if object_kind(_sop_class(image)) is not None:
        return False
    if "Rows" not in data or "Columns" not in data:
        # Not to be left out in silence: an end slice would be lost without a gap.
        raise DataError(
            "Expected an image but got a header without its size: the file is cut off, or no "
            "image. Copy it again or remove it.",
            path=image.name,
        )
    return True


def _sop_class(image: _Image) -> str:
    data = image.data
    return str(data.get("SOPClassUID", "") or data.file_meta.get("MediaStorageSOPClassUID", ""))


def _choose(
    series: dict[str, list[_Image]], name: str, series_uid: str | None, series_rule: str
) -> tuple[str, tuple[str, ...]]:
    """Return the UID of the series to read, and a note if it was a choice by rule."""
    counts = {uid: sum(frame_count(i.data) for i in images) for uid, images in series.items()}
    shown = "; ".join(f"{uid} ({counts[uid]} slices)" for uid in sorted(series)[:8])
    if series_uid is not None:
        if series_uid not in series:
            raise DataError(
                f"Expected the series {series_uid} but got only {shown}. Correct the UID.",
                path=name,
            )
        return series_uid, ()
    if len(series) == 1:
        return next(iter(series)), ()
    best = sorted(series, key=lambda uid: (-counts[uid], uid))
    tie = counts[best[0]] == counts[best[1]]
    if series_rule == "only" or tie:
        raise DataError(
            f"Expected one image series but got {len(series)}: {shown}. Name one as folder#UID"
            f"{'' if tie else ', or take the longest with --series most-slices'}.",
            path=name,
        )
    note = f"{name}: took series {best[0]}, the longest of {len(series)}: {shown}."
    return best[0], (note,)


def _read(images: Sequence[_Image], name: str, options: ReadOptions) -> Stored:
    slices = [s for n, image in enumerate(images) for s in _slices(image, n)]
    multi = len(slices) > len(images)
    if multi and len(images) > 1:
        raise DataError(
            f"Expected one multi-frame file per series but got {len(images)}. Put each into a "
            "folder of its own.",
            path=name,
        )
    _check_duplicates(images, name)
    ordered, grid = order_slices(slices, name, keep_order=multi)
    check_size(grid.size, name)
    planes, padding = _planes(images, ordered, options.philips_scaling)
    notes = value_notes(images[0].data, name, options.philips_scaling)
    notes += _spacing_note(images[0], grid, name)
    uids = tuple(s.uid for s in ordered)
    if multi:
        numbers = tuple(s.frame + 1 for s in ordered)
        return Stored(planes, grid, uids, numbers, notes, padding)
    numbers = instance_numbers([images[s.source].data for s in ordered])
    note = numbering_note(numbers, name)
    return Stored(planes, grid, uids, numbers, notes + (() if note is None else (note,)), padding)


def _spacing_note(image: _Image, grid: Grid, name: str) -> tuple[str, ...]:
    """Return a note if SpacingBetweenSlices is not the distance of the positions."""
    groups = frame_groups(image.data, image.name)[0]
    try:
        stated = abs(float(find(image.data, groups, "SpacingBetweenSlices") or 0))
    except (TypeError, ValueError):
        stated = 0.0
    distance = grid.spacing[2]
    if not stated or grid.size[2] < 2 or abs(stated - distance) <= max(0.05 * distance, 0.02):
        return ()
    return (
        f"{name}: SpacingBetweenSlices says {stated:g} mm but the slices lie {distance:g} mm apart;"
        " the positions were taken.",
    )


def _slices(image: _Image, number: int) -> list[SliceInfo]:
    with only_data_errors(image.name):
        return slices_of(image.data, image.name, number)


def _check_duplicates(images: Sequence[_Image], name: str) -> None:
    seen: dict[str, str] = {}
    for image in images:
        uid = str(image.data.get("SOPInstanceUID", "")) or image.name
        if uid in seen:
            raise DataError(
                f"Expected each image once but got a duplicate: {seen[uid]} and {image.name}. "
                "Remove one.",
                path=name,
            )
        seen[uid] = image.name


def _planes(
    images: Sequence[_Image], ordered: Sequence[SliceInfo], philips_scaling: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Read the pixels, one file at a time, into one array `(k, j, i)`; and which are padding."""
    decoded: dict[int, np.ndarray] = {}
    if any(_needs_decoder(image) for image in images):
        decoded = dict(enumerate(dicom_decode_server.decode([(i.path, i.name) for i in images])))

    def values(number: int) -> tuple[np.ndarray, np.ndarray | None]:
        image = images[number]
        raw = decoded.pop(number) if decoded else _pixels(image)
        return real_values(raw, image.data, image.name, philips_scaling)

    if len(images) == 1:
        array, padding = values(0)
        order = [s.frame for s in ordered]
        if order == list(range(len(order))):
            return array, padding
        return array[order], None if padding is None else padding[order]
    planes, masks = [], []
    for info in ordered:
        array, padding = values(info.source)
        planes.append(array[0])
        masks.append(np.zeros(array.shape[1:], bool) if padding is None else padding[0])
    return np.stack(planes), np.stack(masks) if any(m.any() for m in masks) else None


def _pixels(image: _Image) -> np.ndarray:
    return stored_pixels(read_header(image.path, image.name, with_pixels=True), image.name)


def _needs_decoder(image: _Image) -> bool:
    """Say whether a C library must decode the pixels; pydicom reads RLE by itself."""
    syntax = UID(str(image.data.file_meta.get("TransferSyntaxUID", "")))
    return syntax != RLELossless and syntax.is_transfer_syntax and syntax.is_compressed
