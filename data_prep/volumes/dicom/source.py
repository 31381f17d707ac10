"""Headers of the DICOM images that a volume was read from, for results that refer to them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from data_prep.errors import DataError
from data_prep.paths import relative_name, without_series
from data_prep.volumes.any_format import slice_folder
from data_prep.volumes.dicom.folder import lies_beside
from data_prep.volumes.dicom.header import read_header
from data_prep.volumes.dicom.kinds import is_dicom
from data_prep.volumes.dicom.series_index import files_of_series
from data_prep.volumes.volume import Volume

# What results refer to; archives that pseudonymise drop some of it.
_REFERRED_TO = (
    *("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID"),
    "FrameOfReferenceUID",
)


@dataclass(frozen=True, eq=False)
class SourceSlice:
    """The DICOM image of one stored slice.

    Attributes:
        header: The file's attributes without its pixels.
        frame: 1-based frame of a multi-frame file; None for a file of one frame.
    """

    header: Dataset
    frame: int | None = None


def read_source_slices(
    path: str | os.PathLike, volume: Volume, *, root: str | os.PathLike | None = None
) -> list[SourceSlice]:
    """Read the headers of the images of a volume.

    Args:
        path: What the volume was read from: folder (with or without `#UID`) or file.
        volume: The volume; its `slice_uids` name the images.
        root: Folder that holds the data set; messages show paths relative to it.

    Returns:
        One entry per stored slice, in the order of the stored grid.

    Raises:
        DataError: The volume is no DICOM volume, or an image is not there any more.
    """
    text = os.fspath(path)
    text = text if os.path.lexists(text) else text.partition("#")[0]
    name = relative_name(text, root)
    if not volume.slice_uids:
        raise DataError(
            "Expected a DICOM series to refer to but got another format. Leave out the formats "
            "dicom-seg and dicom-sr, or give the DICOM series.",
            path=name,
        )
    series = volume.source_id[len(without_series(volume.source_id)) + 1 :]
    headers = {str(h.get("SOPInstanceUID", "")): h for h in _headers(Path(text), name, series)}
    slices = []
    for uid in volume.slice_uids:
        image, _, frame = uid.partition("#")
        if image not in headers:
            raise DataError(
                "Expected the images that the volume was read from but one is not there any more. "
                "Run again on the unchanged series.",
                path=name,
            )
        slices.append(SourceSlice(headers[image], int(frame) if frame else None))
    return slices


def images_of(slices: Sequence[SourceSlice]) -> list[Dataset]:
    """Return each file's header once, in the order of the slices."""
    return list({id(s.header): s.header for s in slices}.values())


def missing_identifier(slices: Sequence[SourceSlice]) -> str | None:
    """Name what results have to refer to but an image lacks; None if all is there."""
    for keyword in _REFERRED_TO:
        if not all(image.get(keyword) for image in images_of(slices)):
            return keyword
    return None


def _headers(path: Path, name: str, series: str) -> list[Dataset]:
    if path.is_file():
        return [read_header(path, name)]
    folder = slice_folder(path)
    files = files_of_series(folder, series) if series else []
    if not files:
        files = [folder / entry for entry in sorted(os.listdir(folder)) if not lies_beside(entry)]
        files = [file for file in files if file.is_file() and is_dicom(file)]
    return [read_header(file, f"{name}/{file.name}") for file in files]
