"""The scans that a command is given, and their pseudonyms."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from data_prep.dataset.prepare_args import series_choice
from data_prep.dataset.run_report import write_ids
from data_prep.errors import DataError
from data_prep.volumes.search.image_root import open_images
from data_prep.volumes.search.volume_index import VolumeIndex


@dataclass(frozen=True)
class Scan:
    """A scan: the input that it is of, the folder that holds it, and its path below that."""

    given: Path
    root: Path
    path: str


def find_scans(args: argparse.Namespace, unpacked: ExitStack) -> list[Scan]:
    """List all scans; archives stay unpacked as long as `unpacked` is open.

    Args:
        args: With `inputs`, `out_dir`, the options of series and maybe `scheduler`.
        unpacked: Closes archives.

    Raises:
        DataError: An input that is not there, a folder without scans, a scan that lies in two
            inputs, or an archive that other machines cannot read.
    """
    scans = []
    for given in args.inputs:
        if not given.exists():
            raise DataError(
                "Expected a scan or a folder of scans but found nothing there. Correct the path.",
                path=given,
            )
        images = unpacked.enter_context(open_images(given))
        if images.only is not None:
            scans.append(Scan(given.parent, images.root, images.only))
            continue
        if images.unpacked and getattr(args, "scheduler", None):
            raise DataError(
                "Expected scans that other machines can read but got an archive. Unpack it, or"
                " leave out --scheduler.",
                path=given,
            )
        index = VolumeIndex(
            images.root, [args.out_dir] if args.out_dir else [], series_choice(args)
        )
        found = index.volumes
        for note in index.notes:
            print(f"{given.name}: {note}")
        if not found:
            raise DataError(
                "Expected a scan or a folder of scans but found no volume in it. Name the scans.",
                path=given,
            )
        scans += [Scan(given, images.root, path) for path in found]
    _check_each_once(scans)
    return scans


def _check_each_once(scans: Sequence[Scan]) -> None:
    seen = set()
    for scan in scans:
        path = scan.given / scan.path
        place = os.path.realpath(path)
        if place in seen:
            raise DataError(
                "Expected each scan once but it lies in two inputs. Name each input once, and none "
                "that lies in another.",
                path=path,
            )
        seen.add(place)


def names_of(scans: Sequence) -> list[str]:
    """Return the pseudonyms of scans, `v0001` and so on."""
    return [f"v{number:04d}" for number in range(1, len(scans) + 1)]


def write_scan_ids(args: argparse.Namespace, scans: Sequence[Scan]) -> None:
    """Write which pseudonym stands for which scan, if `args.ids` names a table.

    Raises:
        DataError: The table lies in `args.out_dir`, which may be given away.
    """
    if args.ids:
        rows = [
            (name, str(scan.given / scan.path))
            for name, scan in zip(names_of(scans), scans, strict=True)
        ]
        write_ids(args.ids, args.out_dir, ["volume_id", "volume"], rows)
