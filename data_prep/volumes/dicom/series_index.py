"""The DICOM series below a folder by their UIDs; every header is read once.

A series may share its folder with others, and may lie in several folders: exports put a hundred
files into each, or a series into one folder per disk. Copies of a series, and phases that share a
UID, are told from such parts by their positions.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from data_prep.errors import DataError, quoted
from data_prep.volumes.dicom.folder import DicomImage, is_image, lies_beside
from data_prep.volumes.dicom.frames import frame_count
from data_prep.volumes.dicom.header import read_header
from data_prep.volumes.dicom.kinds import is_dicom
from data_prep.volumes.dicom.series_choice import SeriesChoice
from data_prep.volumes.search.file_names import suffix_of
from data_prep.volumes.search.folder_tree import FolderTree
from data_prep.volumes.stored import only_data_errors

# Steps between the slices of a whole series differ by less than this share.
EVEN = 0.1


@dataclass(frozen=True)
class ImageFile:
    """A DICOM image: its path below the root, and what its header says of its series."""

    file: str
    series: str
    study: tuple[str, str]
    fits: bool
    instance: str
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    frames: int

    @property
    def folder(self) -> str:
        return self.file.rpartition("/")[0] or "."


@dataclass(frozen=True)
class FolderContent:
    """The DICOM files of one folder.

    Attributes:
        images: Images.
        broken: Files with a header that cannot be used; their reader says so.
        objects: How many objects are no images.
    """

    images: tuple[ImageFile, ...] = ()
    broken: tuple[str, ...] = ()
    objects: int = 0


class SeriesIndex:
    """The DICOM series below the root of a `FolderTree`.

    Args:
        tree: The folders.
        choice: Which series are asked for.
    """

    def __init__(self, tree: FolderTree, choice: SeriesChoice | None = None) -> None:
        self._tree = tree
        self._choice = choice or SeriesChoice()

    @cached_property
    def contents(self) -> dict[str, FolderContent]:
        """The DICOM files of each folder that has some."""
        found = {}
        for folder in self._tree.folders:
            files = self._tree.listing(folder).files
            content = _read(self._tree.root, files, self._choice)
            if content != FolderContent():
                found[folder] = content
        return found

    @cached_property
    def parts(self) -> dict[str, dict[str, list[ImageFile]]]:
        """The images of each series, by UID and folder."""
        found: dict[str, dict[str, list[ImageFile]]] = defaultdict(lambda: defaultdict(list))
        for folder, content in self.contents.items():
            for image in content.images:
                found[image.series][folder].append(image)
        return found

    @cached_property
    def joined(self) -> dict[str, str]:
        """The volume, `folder#UID`, of each series that lies in several folders, by its UID."""
        return {
            uid: f"{_common(parts)}#{uid}"
            for uid, parts in self.parts.items()
            if uid and len(parts) > 1 and _are_one(list(parts.values()))
        }

    def volumes_in(self, folder: str) -> list[str]:
        """Return the volumes of a folder that fit the choice.

        The folder itself stands for its only series, and for what its reader refuses.
        """
        content = self.contents.get(folder)
        if content is None or content.broken:
            return [folder]
        groups = defaultdict(list)
        for image in content.images:
            if image.series not in self.joined:
                groups[image.series].append(image)
        fitting = {uid: images for uid, images in groups.items() if images[0].fits}
        if content.images and content.images[0].frames > 1 and len(content.images) > 1:
            return [image.file for images in fitting.values() for image in images]
        # Whoever reads the folder finds parts of joined series in it, too.
        alone = len({image.series for image in content.images}) == 1
        if alone or len(fitting) < 2 or self._choice.rule == "all":
            return [folder if alone else f"{folder}#{uid}" for uid in sorted(fitting)]
        studies = defaultdict(list)
        for uid, images in fitting.items():
            studies[images[0].study].append((-sum(image.frames for image in images), uid))
        if len(studies) == 1:
            return [folder]
        if self._choice.rule == "only" and max(map(len, studies.values())) > 1:
            return [folder]
        return [f"{folder}#{min(found)[1]}" for found in studies.values()]

    def joined_volumes(self) -> list[str]:
        """Return the series in several folders that fit the choice."""
        return [
            volume
            for uid, volume in self.joined.items()
            if next(iter(self.parts[uid].values()))[0].fits
        ]

    def by_uid(self, uid: str) -> str | None:
        """Return the volume of a series: a folder, `folder#UID`, or a multi-frame file.

        Raises:
            DataError: The series lies in several places, as copies or phases.
        """
        if uid in self.joined:
            return self.joined[uid]
        parts = self.parts.get(uid)
        if not parts:
            return None
        images = [image for part in parts.values() for image in part]
        files = [image.file for image in images if image.frames > 1]
        places = files if files else list(parts)
        if len(places) > 1:
            raise DataError(
                f"Expected the series {uid} at one place but got {len(places)}, e.g."
                f" {quoted(places[0], 1000)} and {quoted(places[1], 1000)}. Remove the copies, or"
                " name the volume (--bookmark-volume; in a table, column volume)."
            )
        if files:
            return files[0]
        alone = len({image.series for image in self.contents[places[0]].images}) == 1
        return places[0] if alone else f"{places[0]}#{uid}"

    def check_whole(self, folder: str, name: str) -> None:
        """Raise DataError if a folder holds a part of a series of which the rest lies elsewhere."""
        images = self.contents.get(folder, FolderContent()).images
        for uid in sorted({image.series for image in images} & {*self.joined}):
            raise DataError(
                "Expected a whole series but got a folder with a part of one. Name it"
                f" {quoted(self.joined[uid], 1000)}.",
                path=name,
            )

    def left_out(self) -> int:
        """Return how many series do not fit the choice."""
        return sum(not next(iter(parts.values()))[0].fits for parts in self.parts.values() if parts)


def folders_of_series(folder: Path, uid: str) -> dict[Path, frozenset[str]]:
    """Return the folders below `folder` that hold images of a series.

    Returns:
        By folder, the names of the files in it that are of other series, which need not be read.
    """
    index = _index_of(os.fspath(folder), _state(folder))
    found = {}
    for part in index.parts.get(uid, ()):
        others = (i for i in index.contents[part].images if i.series != uid)
        found[folder / part] = frozenset(i.file.rpartition("/")[2] for i in others)
    return found or {folder: frozenset()}


def files_of_series(folder: Path, uid: str) -> list[Path]:
    """Return the files of a series below a folder, sorted; none if it is not there."""
    parts = _index_of(os.fspath(folder), _state(folder)).parts.get(uid, {})
    return sorted(folder / image.file for part in parts.values() for image in part)


@lru_cache(maxsize=4)
def _index_of(folder: str, state: int) -> SeriesIndex:
    """Return the index of a folder in a state: a process reads each header once."""
    return SeriesIndex(FolderTree(folder))


def _state(folder: Path) -> int:
    """Return a number that changes with the files below a folder."""
    listed = []
    for root, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            try:
                state = os.stat(os.path.join(root, name))
                listed.append((root, name, state.st_size, state.st_mtime_ns))
            except OSError:
                listed.append((root, name))
    return hash(tuple(listed))


def _read(root: Path, files: Iterable[str], choice: SeriesChoice) -> FolderContent:
    images, broken, objects = [], [], 0
    for file in files:
        if suffix_of(file) or lies_beside(file.rpartition("/")[2]):
            continue
        try:
            with only_data_errors(file):
                if not is_dicom(root / file):
                    continue
                header = read_header(root / file, file)
                if is_image(DicomImage(root / file, file, header)):
                    images.append(_facts(file, header, choice))
                else:
                    objects += 1
        except DataError:  # whoever reads the volume says so
            broken.append(file)
    return FolderContent(tuple(images), tuple(broken), objects)


def _facts(file: str, header: Dataset, choice: SeriesChoice) -> ImageFile:
    return ImageFile(
        file,
        str(header.get("SeriesInstanceUID", "") or ""),
        (str(header.get("PatientID", "")), str(header.get("StudyInstanceUID", ""))),
        choice.fits(header),
        str(header.get("SOPInstanceUID", "")),
        tuple(float(v) for v in header.get("ImagePositionPatient", None) or ()),
        tuple(float(v) for v in header.get("ImageOrientationPatient", None) or ()),
        frame_count(header),
    )


def _are_one(parts: Sequence[Sequence[ImageFile]]) -> bool:
    """Say whether images in several folders make one stack of evenly spaced slices."""
    images = [image for part in parts for image in part]
    first = images[0]
    same = all(
        image.study == first.study
        and image.frames == 1
        and len(image.position) == 3
        and len(image.orientation) == 6
        and np.allclose(image.orientation, first.orientation, atol=1e-3)
        for image in images
    )
    if not same or len({image.instance for image in images}) < len(images):
        return False
    normal = np.cross(first.orientation[:3], first.orientation[3:])
    steps = np.diff(np.sort([np.dot(normal, image.position) for image in images]))
    return bool(steps.min() > 1e-3 and np.ptp(steps) <= EVEN * steps.max())


def _common(folders: Iterable[str]) -> str:
    """Return the innermost folder around several."""
    return os.path.commonpath(list(folders)) or "."
