"""DICOM in: a folder with a series, or one multi-frame file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydicom.uid import UID

from data_prep.errors import DataError
from data_prep.volumes import decode_server
from data_prep.volumes.dicom.folder import (
    DicomImage,
    choose_series,
    is_image,
    list_images,
    refuse_foreign,
    sop_class,
)
from data_prep.volumes.dicom.frames import (
    find,
    frame_count,
    frame_groups,
    slices_of,
    stored_pixels,
)
from data_prep.volumes.dicom.header import read_header
from data_prep.volumes.dicom.instance_numbers import instance_numbers, numbering_note
from data_prep.volumes.dicom.kinds import is_dicom, object_kind
from data_prep.volumes.dicom.series_index import folders_of_series
from data_prep.volumes.dicom.slice_order import SliceInfo, order_slices
from data_prep.volumes.dicom.values import check_one_scale, real_values, value_notes
from data_prep.volumes.geometry import Grid
from data_prep.volumes.read_options import ReadOptions
from data_prep.volumes.stored import Stored, check_size, only_data_errors


def read_file(path: Path, name: str, options: ReadOptions) -> Stored:
    """Read a multi-frame DICOM file."""
    if not is_dicom(path):
        refuse_foreign(path, name)
    image = DicomImage(path, name, read_header(path, name))
    if not is_image(image):
        what, advice = object_kind(sop_class(image))
        raise DataError(f"Expected a DICOM image but got {what}. {advice}", path=name)
    choose_series({image.series: [image]}, name, None, options.choice)
    return _read([image], name, options)


def read_folder(path: Path, name: str, options: ReadOptions) -> Stored:
    """Read one image series of a folder; see `data_prep.read_volume` for the choice."""
    series: dict[str, list[DicomImage]] = {}
    others: list[str] = []
    images, left_out = _list(path, name, options.series_uid)
    for image in images:
        if is_image(image):
            series.setdefault(image.series, []).append(image)
        else:
            others.append(object_kind(sop_class(image))[0])
    if not series:
        got = "no DICOM files"
        if others:
            got = f"{len(others)} DICOM object(s) that are no images, the first {others[0]}"
        raise DataError(
            f"Expected a DICOM series but got {got}. Name the folder with the images.", path=name
        )
    chosen, notes = choose_series(series, name, options.series_uid, options.choice)
    stored = _read(series[chosen], name, options)
    return replace(stored, notes=notes + left_out + stored.notes)


def _list(
    path: Path, name: str, series_uid: str | None
) -> tuple[list[DicomImage], tuple[str, ...]]:
    """Read the headers of a folder, or those of a series wherever it lies below the folder."""
    if series_uid is None:
        return list_images(path, name)
    images, notes = [], ()
    for part, others in folders_of_series(path, series_uid).items():
        label = name if part == path else f"{name}/{part.relative_to(path).as_posix()}"
        found, more = list_images(part, label, others)
        images += found
        notes += more
    return images, notes


def _read(images: Sequence[DicomImage], name: str, options: ReadOptions) -> Stored:
    slices = [s for n, image in enumerate(images) for s in _slices(image, n)]
    multi = len(slices) > len(images)
    if multi and len(images) > 1:
        raise DataError(
            f"Expected one multi-frame file per series but got {len(images)}. Put each into a "
            "folder of its own.",
            path=name,
        )
    _check_duplicates(images, name)
    _check_one_patient(images, name)
    ordered, grid = order_slices(slices, name, keep_order=multi)
    check_size(grid.size, name)
    if options.philips_scaling == "precise":
        check_one_scale([image.data for image in images], name)
    planes, padding = _planes(images, ordered, options.philips_scaling)
    notes = value_notes(images[0].data, name, options.philips_scaling)
    notes += _spacing_note(images[0], grid, name)
    frames = {str(image.data.get("FrameOfReferenceUID", "") or "") for image in images}
    if len(frames) > 1:
        notes += (f"{name}: {len(frames)} frames of reference; the positions were taken as one.",)
    if multi:
        numbers = tuple(s.frame + 1 for s in ordered)
    else:
        numbers = instance_numbers([images[s.source].data for s in ordered])
        note = numbering_note(numbers, name)
        notes += () if note is None else (note,)
    uids = tuple(s.uid for s in ordered)
    frame_uid = str(images[0].data.get("FrameOfReferenceUID", "") or "")
    return Stored(planes, grid, uids, numbers, notes, padding, frame_uid=frame_uid)


def _spacing_note(image: DicomImage, grid: Grid, name: str) -> tuple[str, ...]:
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


def _slices(image: DicomImage, number: int) -> list[SliceInfo]:
    with only_data_errors(image.name):
        return slices_of(image.data, image.name, number)


def _check_duplicates(images: Sequence[DicomImage], name: str) -> None:
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


def _check_one_patient(images: Sequence[DicomImage], name: str) -> None:
    patients = {str(image.data.get("PatientID", "") or "").strip() for image in images} - {""}
    if len(patients) > 1:
        raise DataError(
            f"Expected slices of one patient but got {len(patients)} PatientIDs in one series."
            " Separate the files.",
            path=name,
        )


def _planes(
    images: Sequence[DicomImage], ordered: Sequence[SliceInfo], philips_scaling: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Read the pixels, one file at a time, into one array `(k, j, i)`; and which are padding."""
    decoded: dict[int, np.ndarray] = {}
    if any(_needs_decoder(image) for image in images):
        size = max(map(_decoded_bytes, images))
        files = [(image.path, image.name) for image in images]
        decoded = dict(enumerate(decode_server.decode(files, decoded_bytes=size)))

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


def _pixels(image: DicomImage) -> np.ndarray:
    return stored_pixels(read_header(image.path, image.name, with_pixels=True), image.name)


def _needs_decoder(image: DicomImage) -> bool:
    """Say whether the pixels are compressed, so that a small file can hold many."""
    syntax = UID(str(image.data.file_meta.get("TransferSyntaxUID", "")))
    return syntax.is_transfer_syntax and syntax.is_compressed


def _decoded_bytes(image: DicomImage) -> int:
    """Return the size of an image's pixels as its header, which was checked, states it."""
    data = image.data
    return frame_count(data) * int(data.Rows) * int(data.Columns) * 4
