"""Which volumes and masks lie below a folder: listed once, found by path, name or series.

Nothing else in the package lists folders to find volumes.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property

from data_prep.errors import DataError, quoted
from data_prep.paths import without_series
from data_prep.volumes.dicom_series import hold_slices, multi_frame_files, series_volumes
from data_prep.volumes.file_names import VOLUME_SUFFIXES, mask_word, strip_suffix, suffix_of
from data_prep.volumes.folder_tree import FolderTree

__all__ = ["VOLUME_SUFFIXES", "VolumeIndex", "strip_suffix"]

_MAX_NESTED = 8


class VolumeIndex:
    """The volumes and masks below a folder, which is listed once, when first asked for.

    All paths are relative to the root, with `/` between their parts. Links to folders are not
    followed in searches; hidden files count as absent.

    Args:
        root: The folder.
        apart: Folders below it that are not searched: of masks, of output.

    >>> import pathlib, tempfile
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("case7.nii.gz", "case7_mask.NII.GZ"):
    ...     (root / name).touch()
    >>> index = VolumeIndex(root)
    >>> index.volumes, index.mask_of("case7.nii.gz"), index.by_name("case7_node2", "node2.json")
    (['case7.nii.gz'], 'case7_mask.NII.GZ', 'case7.nii.gz')
    """

    def __init__(self, root: str | os.PathLike, apart: Iterable[str | os.PathLike] = ()) -> None:
        self._tree = FolderTree(root, apart)
        self.root = self._tree.root

    def __fspath__(self) -> str:
        return os.fspath(self.root)

    @cached_property
    def refused_folders(self) -> list[str]:
        """Folders that the system refuses to list."""
        return [f for f in self._tree.folders if self._tree.listing(f).refused]

    @cached_property
    def label_maps(self) -> list[str]:
        """All files of the volume formats, whatever they are called, folder by folder."""
        return [file for f in self._tree.folders for file in self._tree.listing(f).volume_files]

    @cached_property
    def volumes(self) -> list[str]:
        """Everything that looks like a volume, sorted.

        Files of the volume formats count, folders that hold DICOM or PNG slices, and each of
        several multi-frame DICOM files in one folder. DICOM files of other endings are known by the
        four letters that they carry. Files that are called as masks are (`…_mask`, `…_seg`,
        `labels` …) do not count; folders that cannot be read do, for their reader to say so.
        """
        found = [*self.refused_folders, *(f for f in self.label_maps if mask_word(f) is None)]
        for folder in self._tree.folders:
            rest = [file for file in self._tree.listing(folder).files if not suffix_of(file)]
            if hold_slices(self.root, rest):
                found += multi_frame_files(self.root, rest) or [folder]
        return sorted(found)

    def by_path(self, path: str) -> str | None:
        """Return the file of a volume format at `path`, whatever the ending of either."""
        stem = strip_suffix(path)
        return self._tree.listing(_folder_of(stem)).by_stem.get(stem)

    def by_name(self, stem: str, file: str) -> str:
        """Return the volume whose name is `stem`, or whose name `stem` starts with.

        `case7` and `case7_node2` belong to `case7.nii.gz` or to the folder `case7`, wherever they
        lie; the longest name that fits wins.

        Args:
            stem: Name of the bookmark file without its ending.
            file: How messages call the bookmark file.

        Raises:
            DataError: No volume or several volumes fit.
        """
        ends = [len(stem), *(i for i in range(len(stem) - 1, 0, -1) if stem[i] in "_-. ")]
        found = next(filter(None, (self._named(stem[:end]) for end in ends)), [])
        if len(found) != 1:
            shown = " and ".join(quoted(volume, 1000) for volume in found[:2])
            raise DataError(
                f"Expected one volume called {quoted(stem)} in the image folder but got"
                f" {f'{len(found)}, e.g. {shown}' if found else 'none'}. Name the file after its"
                " volume, or name the volume with --bookmark-volume.",
                path=file,
            )
        return found[0]

    def by_series(self, uid: str) -> str | None:
        """Return the volume of a DICOM series: its folder, with `#UID` if it holds several."""
        return self._series.get(uid)

    @cached_property
    def _series(self) -> dict[str, str]:
        return series_volumes(self._tree)

    def mask_of(self, volume: str) -> str | None:
        """Return the mask of a volume, if `self` is the index of a folder of masks.

        Masks have the path of their volume, with or without a word such as `_mask`, `_seg` or
        `-labels`; the folder of TCIA CT Lymph Nodes (`<id>/<id>_mask.nii.gz`) is understood too.

        Args:
            volume: Path relative to the folder of the volumes.
        """
        base = strip_suffix(without_series(volume))
        name = base.rpartition("/")[2]
        for place in (base, f"{base}/{name}", f"{name}/{name}"):
            masks = self._tree.listing(_folder_of(place)).masks
            if place in masks:
                return masks[place]
        return None

    @cached_property
    def _names(self) -> dict[str, list[tuple[str, bool]]]:
        """Files of the volume formats and folders (True), by their names without the ending."""
        names = defaultdict(list)
        for folder in self._tree.folders:
            listing = self._tree.listing(folder)
            for path, is_folder in (
                *((file, False) for file in listing.volume_files),
                *((inner, True) for inner in listing.folders),
            ):
                names[strip_suffix(path.rpartition("/")[2])].append((path, is_folder))
        return names

    def _named(self, name: str) -> list[str]:
        """Return the volumes of exactly this name."""
        found = (self._slices_below(p) if inner else p for p, inner in self._names.get(name, ()))
        return [volume for volume in found if volume is not None]

    def _slices_below(self, folder: str) -> str | None:
        """Return the folder of slices, going down as archives nest their series."""
        for _ in range(_MAX_NESTED):
            listing = self._tree.listing(folder)
            if listing.files or listing.refused:  # the reader of a refused one says so
                return None if listing.volume_files else folder
            inner = [f for f in listing.folders if not f.rpartition("/")[2].startswith(".")]
            if len(inner) != 1:
                return None
            folder = inner[0]
        return None


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0] or "."
