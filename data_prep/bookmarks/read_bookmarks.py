"""Bookmarks in: every format becomes `BookmarkRecord`s, which `locate.place` puts on a slice.

Adding a format means adding a module here with

* `matches(path, start) -> bool`: whether a file (its first bytes) or folder looks like it, or
  `CLASSES`: beginnings of the SOP classes of its DICOM objects,
* `OPTIONS`: names of the `Options` that it understands,
* `read(path, name, options) -> ReadResult`, which raises nothing but `DataError`,

and a line in `FORMATS`.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_prep.bookmarks.formats import (
    csv_table,
    deeplesion_info,
    dicom_gsps,
    dicom_rtstruct,
    dicom_seg,
    dicom_sr,
    label_masks,
    slicer_markups,
)
from data_prep.bookmarks.formats.dicom_objects import classes_in, files_below
from data_prep.bookmarks.one_axis import apply as apply_one_axis
from data_prep.bookmarks.record import BookmarkRecord, Options, ReadResult
from data_prep.errors import DataError, quoted
from data_prep.limits import check_file
from data_prep.paths import relative_name, resolve_under
from data_prep.volumes.search.archives import is_called_archive
from data_prep.volumes.search.volume_index import VolumeIndex
from data_prep.volumes.stored import only_data_errors

# In the order in which they are tried; the table of our own comes last, as it takes any text.
FORMATS = {
    "seg": dicom_seg,
    "rtstruct": dicom_rtstruct,
    "gsps": dicom_gsps,
    "sr": dicom_sr,
    "masks": label_masks,
    "slicer": slicer_markups,
    "deeplesion": deeplesion_info,
    "csv": csv_table,
}


def read_bookmarks(
    path: str | os.PathLike,
    *,
    format: str = "auto",
    image_root: str | os.PathLike | None = None,
    one_axis: str = "refuse",
    nifti_form: str = "auto",
    **options: Any,
) -> ReadResult:
    """Read a bookmark file, or a folder of them.

    Args:
        path: CSV table, DeepLesion's `DL_info.csv`, Slicer markups, DICOM structured report, or
            label mask; for the last three also a folder.
        format: `auto` or one of `FORMATS`.
        image_root: Folder of the volumes, or its `VolumeIndex`. With it, records whose volume is
            not there become errors, and formats that name no volume find theirs.
        one_axis: What to do with measurements without two axes (length, ellipse, point …):
            `refuse` them, `ignore` their regions, or take their outline, of a length the `circle`
            around it. See `data_prep.bookmarks.one_axis`.
        nifti_form: Of label masks, see `data_prep.read_volume`; other formats hold no NIfTI.
        **options: See `Options`; one that the format does not understand is refused.

    Returns:
        Sound records, and one error for each bad row; a bad row does not stop the rest.

    Raises:
        DataError: If the file as a whole can not be read.

    Examples:
        >>> import tempfile
        >>> import data_prep
        >>> table = Path(tempfile.mkdtemp()) / "bookmarks.csv"
        >>> _ = table.write_text(
        ...     "volume,slice,long_x1,long_y1,long_x2,long_y2,"
        ...     "short_x1,short_y1,short_x2,short_y2\\n"
        ...     "case7.nii.gz,12,30,40,50,40,40,35,40,44\\n"
        ...     "case8.nii.gz,3,30,40,50,40,40,35,40,\\n"
        ... )
        >>> found = data_prep.read_bookmarks(table)
        >>> [(record.volume, record.slice_index) for record in found.records]
        [('case7.nii.gz', 12)]
        >>> print(str(found.errors[0]).split(". ")[0])
        bookmarks.csv, row 3: Expected 4 points (8 coordinates) but got 7 coordinates
        >>> found.incomplete_volumes
        {'case8.nii.gz'}
    """
    path = Path(path)
    name = relative_name(path)
    images = image_root
    if images is not None and not isinstance(images, VolumeIndex):
        images = VolumeIndex(images)
    with only_data_errors(name):
        reader = _reader(path, name, format)
        refused = [o for o in options if o not in reader.OPTIONS]
        if refused:
            raise DataError(
                f"Expected the options {', '.join(sorted(reader.OPTIONS)) or 'none'} for this "
                f"format but got {', '.join(refused)}. Leave them out.",
                path=name,
            )
        result = reader.read(path, name, Options(images=images, nifti_form=nifti_form, **options))
    apply_one_axis(result, one_axis, name)
    if images is not None:
        _refuse_absent(result, images)
    return result


def options_of(path: str | os.PathLike, format: str = "auto") -> frozenset[str]:
    """Return the names of the `Options` that the format of a bookmark file understands."""
    path = Path(path)
    return _reader(path, relative_name(path), format).OPTIONS


def is_folder_of_masks(path: str | os.PathLike, format: str = "auto") -> bool:
    """Say whether bookmarks are a folder of label masks."""
    path = Path(path)
    return path.is_dir() and _reader(path, relative_name(path), format) is label_masks


def _reader(path: Path, name: str, format: str):
    if format != "auto":
        if format not in FORMATS:
            raise DataError(
                f"Expected the format {', '.join(FORMATS)} or auto but got {quoted(format)}. "
                "Correct it.",
                path=name,
            )
        return FORMATS[format]
    if not path.exists():
        raise DataError("Expected bookmarks but found nothing there. Correct the path.", path=name)
    check_file(path, name)
    if path.is_file() and is_called_archive(path.name):
        raise DataError(
            "Expected bookmarks or masks but got an archive. Unpack it first.", path=name
        )
    start = b""
    if path.is_file():
        with open(path, "rb") as file:
            start = file.read(4096)
    # A folder is listed, and its headers are read, once for all kinds of DICOM objects.
    classes = classes_in(path)
    for module in FORMATS.values():
        wanted = getattr(module, "CLASSES", None)
        if wanted is not None and any(kind.startswith(wanted) for kind in classes):
            return module
        if hasattr(module, "matches") and module.matches(path, start):
            return module
    if path.is_dir() and (archives := [f for f in files_below(path) if is_called_archive(f.name)]):
        raise DataError(
            f"Expected bookmarks or masks but got {len(archives)} archives. Unpack them first.",
            path=name,
        )
    raise DataError(
        "Expected a folder of Slicer markups, DICOM reports or masks but got another. Name the "
        "bookmark file.",
        path=name,
    )


def _refuse_absent(result: ReadResult, images: VolumeIndex) -> None:
    """Keep the records whose volume is in the image folder; the others become errors."""
    result.incomplete_volumes = {_found(v, images)[0] for v in result.incomplete_volumes}
    found: dict[str, tuple[str, str | None]] = {}
    for kind in ("records", "ignored", "rejected"):
        setattr(result, kind, _present(result, getattr(result, kind), images, found))
    complete, result.complete_volumes = result.complete_volumes, set()
    for volume, problem in (_found(volume, images) for volume in sorted(complete)):
        if problem is None:
            result.complete_volumes.add(volume)
        else:
            result.refuse(DataError(problem))


def _present(
    result: ReadResult,
    records: list[BookmarkRecord],
    images: VolumeIndex,
    found: dict[str, tuple[str, str | None]],
) -> list[BookmarkRecord]:
    kept = []
    for record in records:
        if record.volume not in found:
            found[record.volume] = _found(record.volume, images)
        volume, problem = found[record.volume]
        if problem is None:
            kept.append(record if volume == record.volume else replace(record, volume=volume))
        else:
            result.refuse(DataError(problem, path=record.file, row=record.row))
    return kept


def _found(volume: str, images: VolumeIndex) -> tuple[str, str | None]:
    """Return the one name of a volume, and what is wrong with it."""
    problem = _problem(volume, images.root)
    try:
        return volume if problem else images.whole(volume), problem
    except DataError as error:
        return volume, error.message


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:  # the reader of the volume says so
        return True


def _problem(volume: str, root: Path) -> str | None:
    try:
        path = resolve_under(root, volume)
    except DataError as error:
        return error.message
    if _is_there(path) or _is_there(resolve_under(root, volume.partition("#")[0] or ".")):
        return None
    return (
        f"Expected the volume {quoted(volume, 80)} in the image folder but found none. Correct "
        "the path or copy the volume there."
    )
