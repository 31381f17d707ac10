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
from data_prep.volumes.any_format import slice_folder
from data_prep.volumes.dicom.series_choice import SeriesChoice
from data_prep.volumes.dicom.series_index import SeriesIndex
from data_prep.volumes.dicom.slice_files import hold_slices
from data_prep.volumes.search.archives import is_called_archive
from data_prep.volumes.search.file_names import (
    VOLUME_SUFFIXES,
    is_called_mask,
    mask_preference,
    mask_word,
    strip_image_word,
    strip_mask_word,
    strip_suffix,
    suffix_of,
)
from data_prep.volumes.search.folder_tree import FolderTree

__all__ = ["VOLUME_SUFFIXES", "VolumeIndex", "strip_suffix"]

_MAX_NESTED = 8


class NoVolumeError(DataError):
    """No volume is called so."""


class VolumeIndex:
    """The volumes and masks below a folder, which is listed once, when first asked for.

    All paths are relative to the root, with `/` between their parts. Links to folders are not
    followed in searches; hidden files count as absent.

    Args:
        root: The folder.
        apart: Folders below it that are not searched: of masks, of output.
        choice: Which DICOM series count.
        among_volumes: Whether the masks below the folder lie among the volumes; then only files
            that are called as masks are masks.

    >>> import pathlib, tempfile
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("case7.nii.gz", "case7_mask.NII.GZ"):
    ...     (root / name).touch()
    >>> index = VolumeIndex(root)
    >>> index.volumes, index.mask_of("case7.nii.gz"), index.by_name("case7_node2", "node2.json")
    (['case7.nii.gz'], 'case7_mask.NII.GZ', 'case7.nii.gz')
    """

    def __init__(
        self,
        root: str | os.PathLike,
        apart: Iterable[str | os.PathLike] = (),
        choice: SeriesChoice | None = None,
        *,
        among_volumes: bool = False,
    ) -> None:
        self._among_volumes = among_volumes
        self._tree = FolderTree(root, apart)
        self.choice = choice or SeriesChoice()
        self._series = SeriesIndex(self._tree, self.choice)
        self.root = self._tree.root

    def __fspath__(self) -> str:
        return os.fspath(self.root)

    @cached_property
    def refused_folders(self) -> list[str]:
        """Folders that the system refuses to list."""
        return [f for f in self._tree.folders if self._tree.listing(f).refused]

    @cached_property
    def files(self) -> list[str]:
        """All files, folder by folder."""
        tree = self._tree
        return [file for folder in tree.folders for file in tree.listing(folder).files]

    @cached_property
    def label_maps(self) -> list[str]:
        """All files of the volume formats, whatever they are called, folder by folder."""
        return [file for f in self._tree.folders for file in self._tree.listing(f).volume_files]

    @cached_property
    def volumes(self) -> list[str]:
        """Everything that looks like a volume, sorted.

        Files of the volume formats count, folders that hold DICOM or PNG slices, each of several
        multi-frame DICOM files in one folder, and DICOM series as `folder#UID` where they share a
        folder or lie in several. DICOM files of other endings are known by the four letters that
        they carry. Folders of nothing but reports and the like do not count. Files that are called
        as masks are (`…_mask`, `…_seg`, `labels` …, or their folders) do not count; folders that
        cannot be read do, for their reader to say so.
        """
        found = [*self.refused_folders, *(f for f in self.label_maps if not is_called_mask(f))]
        for folder in self._tree.folders:
            rest = [file for file in self._tree.listing(folder).files if not suffix_of(file)]
            if hold_slices(self.root, rest):
                found += self._series.volumes_in(folder)
        return sorted(found + self._series.joined_volumes())

    @cached_property
    def notes(self) -> list[str]:
        """What lies below the folder that looks like volumes and is not among them."""
        listed = [file for f in self._tree.folders for file in self._tree.listing(f).files]
        told = (
            (
                sum(bool(c.objects) and not c.images for c in self._series.contents.values()),
                "folders hold DICOM objects that are no images (reports, segmentations …) and are"
                " no volumes.",
            ),
            (
                self._series.left_out(),
                f"DICOM series do not fit {self.choice} and were not used.",
            ),
            (
                sum(map(is_called_archive, listed)),
                "archives (zip, tar …) lie among the volumes and were not read; unpack them.",
            ),
        )
        return [f"{count} {what}" for count, what in told if count]

    def by_path(self, path: str) -> str | None:
        """Return the file of a volume format at `path`, whatever the ending of either."""
        stem = strip_suffix(path)
        return self._tree.listing(_folder_of(stem)).by_stem.get(stem)

    def by_name(self, stem: str, file: str) -> str:
        """Return the volume whose name is `stem`, or whose name `stem` starts with.

        `case7` and `case7_node2` belong to `case7.nii.gz` or to the folder `case7`, wherever they
        lie; the longest name that fits wins. If none does, capitals are taken as small letters, and
        `case7` also means `case7_0000.nii.gz` (nnU-Net) and `case7-ct.nrrd` (LNQ).

        Args:
            stem: Name of the bookmark file without its ending.
            file: How messages call the bookmark file.

        Raises:
            DataError: No volume or several volumes fit.
        """
        ends = [len(stem), *(i for i in range(len(stem) - 1, 0, -1) if stem[i] in "_-. ")]
        found = next(filter(None, (self._named(stem[:end], self._names) for end in ends)), [])
        if not found:
            names = (stem[:end].casefold() for end in ends)
            found = next(filter(None, (self._named(n, self._loose_names) for n in names)), [])
        if len(found) != 1:
            kind = DataError if found else NoVolumeError
            shown = " and ".join(quoted(volume, 1000) for volume in found[:2])
            raise kind(
                f"Expected one volume called {quoted(stem)} in the image folder but got"
                f" {f'{len(found)}, e.g. {shown}' if found else 'none'}. Name the file after its"
                " volume, or name the volume with --bookmark-volume.",
                path=file,
            )
        return found[0]

    def by_series(self, uid: str) -> str | None:
        """Return the volume of a DICOM series: its folder, with `#UID` if it holds several.

        A series in several folders is `#UID` of the folder around them.

        Raises:
            DataError: Copies or phases of the series lie in several places.
        """
        return self._series.by_uid(uid)

    def whole(self, volume: str) -> str:
        """Return the one name of a volume that was named by a folder around its DICOM series.

        `case7` is `case7/study/t2` if that is the only series below it that fits the choice.

        Raises:
            DataError: Several series fit, or the folder holds only a part of a series.
        """
        base = without_series(volume)
        if suffix_of(base) or not (self.root / base).is_dir():
            return volume
        folder = slice_folder(self.root / base).relative_to(self.root).as_posix()
        if base != volume:
            uid = volume[len(base) + 1 :]
            if list(self._series.parts.get(uid, [folder])) == [folder]:
                return volume
            whole = self._series.by_uid(uid)
            return whole if whole and _is_below(without_series(whole), base) else volume
        if files := self._tree.listing(folder).files:
            if not all(file.lower().endswith(".png") for file in files):
                self._series.check_whole(folder, volume)
            return volume
        found = self._series_below(folder)
        if len(found) > 1:
            raise DataError(
                f"Expected one image series below the folder but got {len(found)}, e.g."
                f" {quoted(found[0], 1000)} and {quoted(found[1], 1000)}. Name one of them, or"
                " choose with --modality or --series-description.",
                path=volume,
            )
        return found[0] if found else volume

    def _series_below(self, folder: str) -> list[str]:
        """Return the volumes of DICOM series below a folder, sorted."""
        found = [
            volume
            for inner in self._series.contents
            if _is_below(inner, folder)
            for volume in self._series.volumes_in(inner)
        ]
        joined = self._series.joined_volumes()
        return sorted(found + [v for v in joined if _is_below(without_series(v), folder)])

    def mask_of(self, volume: str) -> str | None:
        """Return the mask of a volume, if `self` is the index of a folder of masks.

        Masks have the path of their volume, with or without a word such as `_mask`, `_seg` or
        `-labels`; the folder of TCIA CT Lymph Nodes (`<id>/<id>_mask.nii.gz`) is understood too.

        Without one at such a place, the one in the whole folder counts whose name is that of the
        volume (`case7_0000` and `case7-ct` are `case7`), else of the innermost folder around it,
        whether in capitals or not. A mask called `seg` or `mask` alone has the name of its folder.

        Args:
            volume: Path relative to the folder of the volumes.

        Raises:
            DataError: Several masks of different folders or names have that name.
        """
        base = strip_suffix(without_series(volume))
        name = base.rpartition("/")[2]
        for place in (base, f"{base}/{name}", f"{name}/{name}"):
            masks = self._tree.listing(_folder_of(place)).masks
            if place in masks and self._may_be_mask(masks[place]):
                return masks[place]
        *folders, _ = base.split("/")
        for key in (name, strip_image_word(name), *reversed(folders)):
            if found := self._masks_by_name.get(key.casefold()):
                return _only(found, key, volume)
        return None

    @cached_property
    def masks(self) -> list[str]:
        """Those of the label maps that may be masks."""
        return [file for file in self.label_maps if self._may_be_mask(file)]

    def _may_be_mask(self, file: str) -> bool:
        return not self._among_volumes or is_called_mask(file)

    @cached_property
    def _masks_by_name(self) -> dict[str, list[str]]:
        """Files that may be masks by the name of their volume, in small letters."""
        found = defaultdict(list)
        for file in self.masks:
            folder, _, name = strip_mask_word(file).rpartition("/")
            if mask_word(name) is not None and folder:  # `case7/seg.nii.gz`
                name = folder.rpartition("/")[2]
            for key in {name.casefold(), strip_image_word(name).casefold()}:
                found[key].append(file)
        return found

    @cached_property
    def _loose_names(self) -> dict[str, list[tuple[str, bool]]]:
        """What `_names` holds by small letters, with and without the word of an image."""
        names = defaultdict(list)
        for name, found in self._names.items():
            for key in {name.casefold(), strip_image_word(name).casefold()}:
                names[key] += [entry for entry in found if mask_word(entry[0]) is None]
        return names

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

    def _named(self, name: str, names: dict[str, list[tuple[str, bool]]]) -> list[str]:
        """Return the volumes that `names` knows by this name."""
        found = (self._slices_below(p) if inner else [p] for p, inner in names.get(name, ()))
        return [volume for volumes in found for volume in volumes]

    def _slices_below(self, folder: str) -> list[str]:
        """Return the folder of slices, going down as archives nest their series."""
        for _ in range(_MAX_NESTED):
            listing = self._tree.listing(folder)
            if listing.files or listing.refused:  # the reader of a refused one says so
                return [] if listing.volume_files else [folder]
            inner = [f for f in listing.folders if not f.rpartition("/")[2].startswith(".")]
            if len(inner) != 1:
                return self._series_below(folder)
            folder = inner[0]
        return []


def _is_below(path: str, folder: str) -> bool:
    """Say whether a path is a folder or lies below it."""
    return folder == "." or path == folder or path.startswith(f"{folder}/")


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0] or "."


def _only(masks: list[str], key: str, volume: str) -> str:
    """Return the best of several masks of one name and folder."""
    best = sorted(masks, key=mask_preference)
    if len({strip_mask_word(file) for file in best}) > 1:
        raise DataError(
            f"Expected one mask called {quoted(key)} but got {quoted(best[0], 1000)} and"
            f" {quoted(best[1], 1000)}. Put the masks where their volumes lie, or remove one.",
            path=volume,
        )
    return best[0]
