"""What a user may name as images: a folder, a volume, a DICOMDIR, or a zip archive of these."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from data_prep.errors import DataError, quoted
from data_prep.limits import max_bytes
from data_prep.paths import check_relative
from data_prep.volumes.dicom.header import read_header
from data_prep.volumes.dicom.kinds import is_dicom
from data_prep.volumes.stored import only_data_errors

# A study has some thousand files of half a megabyte.
MAX_MEMBERS = 200_000
# Of more than 2 GB, Windows makes archives by Deflate64, which Python does not read.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"


@dataclass(frozen=True)
class ImageRoot:
    """Where volumes lie.

    Attributes:
        root: Folder that their paths are relative to.
        only: The one volume below it that was named; None for all.
        unpacked: Whether the folder is a temporary one.
    """

    root: Path
    only: str | None = None
    unpacked: bool = False


@contextmanager
def open_images(path: str | os.PathLike) -> Iterator[ImageRoot]:
    """Say where the volumes lie that a user named; an archive is unpacked meanwhile.

    Args:
        path: Folder, volume file, DICOMDIR (its folder is meant, and the files that it lists must
            be there), or zip archive.

    Raises:
        DataError: Nothing lies there, files of a DICOMDIR are missing, or an archive is damaged,
            too large, or has members with a place outside of it.
    """
    path = Path(path)
    if not path.is_file():
        yield ImageRoot(path)
    elif _is_zip(path):
        with tempfile.TemporaryDirectory(prefix="mmglan-") as folder:
            unpack(path, Path(folder))
            for file in sorted(Path(folder).rglob("*")):
                if file.name.upper() == "DICOMDIR" and file.is_file():
                    check_media_directory(file)
            yield ImageRoot(Path(folder), unpacked=True)
    elif _is_media_directory(path):
        check_media_directory(path)
        yield ImageRoot(path.parent)
    else:
        yield ImageRoot(path.parent, path.name)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip archive into a folder; no member can leave it, or fill the disk."""
    name = archive.name
    with only_data_errors(name), zipfile.ZipFile(archive) as content:
        members = content.infolist()
        total = sum(member.file_size for member in members)
        room = min(8 * max_bytes(), shutil.disk_usage(folder).free)
        if len(members) > MAX_MEMBERS or total > room:
            raise DataError(
                f"Expected an archive of at most {MAX_MEMBERS} files and {room} bytes but got"
                f" {len(members)} and {total}. Unpack it and name the folder, or raise the limit"
                " with MMGLAN_MAX_GIB in the environment.",
                path=name,
            )
        seen = set()
        for member in members:
            if not member.is_dir():
                target = _target(member, name)
                if target in seen:
                    raise DataError(
                        f"Expected each file once but got {quoted(target, 80)} twice. Unpack it and"
                        " name the folder.",
                        path=name,
                    )
                seen.add(target)
                _write(content, member, folder / target)


def check_media_directory(path: Path) -> None:
    """Raise DataError if files that a DICOMDIR lists are not beside it."""
    header = read_header(path, path.name)
    with only_data_errors(path.name):
        there = {
            os.path.relpath(os.path.join(root, file), path.parent).replace(os.sep, "/").casefold()
            for root, _, files in os.walk(path.parent)
            for file in files
        }
        listed = [
            [parts] if isinstance(parts, str) else list(parts)
            for record in header.get("DirectoryRecordSequence", None) or ()
            if (parts := record.get("ReferencedFileID", None))
        ]
        missing = [file for file in map("/".join, listed) if file.casefold() not in there]
    if missing:
        raise DataError(
            f"Expected the {len(listed)} files that it lists but {len(missing)} are not there, e.g."
            f" {quoted(missing[0], 80)}. Copy the medium again, or name its folder if they are not"
            " needed.",
            path=path.name,
        )


def _target(member: zipfile.ZipInfo, name: str) -> str:
    """Return the place of a member, which is a plain file inside of the archive's folder."""
    try:
        target = check_relative(member.filename)
    except DataError:
        target = ""
    if not target or stat.S_ISLNK(member.external_attr >> 16):
        raise DataError(
            f"Expected files inside of the archive but got {quoted(member.filename, 80)}, a link or"
            " a path that leaves it. Pack the folder again.",
            path=name,
        )
    if member.flag_bits & 1 or member.compress_type not in _METHODS:
        got = "one with a password" if member.flag_bits & 1 else f"method {member.compress_type}"
        raise DataError(
            f"Expected an open archive of a usual method but got {got}. Unpack it and name the"
            " folder.",
            path=name,
        )
    return target


def _write(content: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with content.open(member) as source, open(target, "xb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
    # A second run knows its files by their times.
    with suppress(ValueError, OverflowError, OSError):
        seconds = time.mktime((*member.date_time, 0, 0, -1))
        os.utime(target, (seconds, seconds))


def _is_zip(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def _is_media_directory(path: Path) -> bool:
    if not is_dicom(path):
        return False
    with only_data_errors(path.name):
        meta = read_header(path, path.name).file_meta
        return str(meta.get("MediaStorageSOPClassUID", "")) == _MEDIA_DIRECTORY
