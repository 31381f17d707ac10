"""The folders below a root and what lies in them, each listed once."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from data_prep.limits import check_file
from data_prep.volumes.search.file_names import (
    mask_preference,
    strip_mask_word,
    strip_suffix,
    suffix_of,
)


@dataclass(frozen=True)
class Listing:
    """What lies in a folder, sorted; paths are relative to the root.

    Args:
        folders: Subfolders, and links to folders.
        linked: Those of `folders` that are links.
        files: Files that are not hidden.
        refused: Whether the system refuses to list the folder.
    """

    folders: tuple[str, ...] = ()
    linked: frozenset[str] = frozenset()
    files: tuple[str, ...] = ()
    refused: bool = False

    @cached_property
    def volume_files(self) -> tuple[str, ...]:
        """Files of the volume formats."""
        return tuple(file for file in self.files if suffix_of(file))

    @cached_property
    def by_stem(self) -> dict[str, str]:
        """Files of the volume formats by their paths without ending."""
        best_last = sorted(self.volume_files, key=mask_preference, reverse=True)
        return {strip_suffix(file): file for file in best_last}

    @cached_property
    def masks(self) -> dict[str, str]:
        """Files that may be masks, by the paths of their volumes without ending."""
        best_last = sorted(self.volume_files, key=mask_preference, reverse=True)
        return self.by_stem | {strip_mask_word(file): file for file in best_last}


class FolderTree:
    """The folders below a root, listed when first asked for; links to folders are not followed.

    Args:
        root: The topmost folder.
        apart: Folders below it that are left out.
    """

    def __init__(self, root: str | os.PathLike, apart: Iterable[str | os.PathLike] = ()) -> None:
        self.root = Path(root)
        self._apart = {Path(folder).resolve() for folder in apart} - {self.root.resolve()}
        self._listings: dict[str, Listing] = {}

    @cached_property
    def folders(self) -> list[str]:
        """All folders, relative to the root (itself `.`), each before those in it."""
        found, pending = [], ["."]
        while pending:
            found.append(pending.pop())
            listing = self.listing(found[-1])
            pending += [f for f in reversed(listing.folders) if f not in listing.linked]
        return found

    def listing(self, folder: str) -> Listing:
        """Return what lies in a folder, by its path relative to the root."""
        if folder not in self._listings:
            self._listings[folder] = self._list(folder)
        return self._listings[folder]

    def _list(self, folder: str) -> Listing:
        folders, linked, files = [], [], []
        try:
            with os.scandir(self.root / folder) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    path = entry.name if folder == "." else f"{folder}/{entry.name}"
                    if _is_folder(entry):
                        if not self._is_apart(path):
                            folders.append(path)
                            linked += [path] if entry.is_symlink() else []
                    elif not entry.name.startswith("."):
                        if not entry.is_file(follow_symlinks=False):
                            check_file(entry.path, path)
                        files.append(path)
        except OSError:
            return Listing(refused=True)
        return Listing(tuple(folders), frozenset(linked), tuple(files))

    def _is_apart(self, folder: str) -> bool:
        return bool(self._apart) and (self.root / folder).resolve() in self._apart


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that never ends
        return False
