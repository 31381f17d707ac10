"""What `mmglan prepare` reads: bookmarks, and the volumes and masks that belong to them."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from data_prep.bookmarks.read_bookmarks import is_folder_of_masks, options_of
from data_prep.bookmarks.record import BookmarkRecord, ReadResult
from data_prep.bookmarks.several_files import read_with_reviews
from data_prep.dataset.prepare_args import series_choice
from data_prep.dataset.sources import Source, list_sources
from data_prep.errors import DataError
from data_prep.paths import without_series
from data_prep.public_sets.deeplesion_subvolumes import labelled_volumes
from data_prep.volumes.search.image_root import ImageRoot
from data_prep.volumes.search.same_volume import check_names, overlapping, unnamed
from data_prep.volumes.search.volume_index import VolumeIndex

UNKNOWN_VOLUME = (
    "Refused bookmarks (see errors.txt) name no volume that is there: slices kept as lesion-free"
    " may hold their lesions."
)


@dataclass
class Input:
    """What a run reads.

    Attributes:
        root: Folder that the volumes' paths are relative to.
        masks: Folder of voxel masks, or one mask, or None.
        records: Bookmarks of the volumes asked for.
        sources: Their volumes, and those kept without bookmarks.
        errors: What is wrong with the bookmarks.
        notes: Lines for the report.
        file_notes: Lines that name files, for the user only.
    """

    root: Path
    masks: Path | None
    records: list[BookmarkRecord]
    sources: list[Source]
    errors: list[DataError]
    notes: list[str]
    file_notes: list[str]


def read_input(args: argparse.Namespace, keep_empty: str | None, images: ImageRoot) -> Input:
    """Read the bookmarks, and find the volumes and masks that belong to them.

    Args:
        args: The command line of `prepare`.
        keep_empty: See `data_prep.dataset.one_volume.slice_selection.VolumeOptions`.
        images: The volumes.

    Raises:
        DataError: There are no volumes or masks, or options that the bookmarks do not understand.
    """
    root, only = images.root, images.only
    if not os.path.exists(root):
        raise DataError(
            "Expected the volumes but found nothing there. Correct --images.", path=args.images
        )
    masks = None if args.masks is None else Path(args.masks)
    if masks is not None and not masks.exists():
        raise DataError("Expected masks but found nothing there. Correct --masks.", path=masks)
    apart = [Path(args.out_dir), *([masks] if masks is not None else [])]
    if is_folder_of_masks(args.bookmarks[0], args.bookmark_format):
        apart.append(Path(args.bookmarks[0]))  # a mask of the name of its volume is not that volume
    index = VolumeIndex(root, apart, series_choice(args))
    read = _read_bookmarks(args, index)
    groups, notes = (read.records, read.ignored, read.rejected), []
    complete = read.complete_volumes
    if only is not None:
        inside = [[r for r in group if without_series(r.volume) == only] for group in groups]
        left_out = sum(map(len, groups)) - sum(map(len, inside))
        groups = tuple(inside)
        complete = {volume for volume in complete if without_series(volume) == only}
        if left_out:
            notes.append(f"{left_out} bookmarks of other volumes were left out.")
    records, ignored, rejected = groups
    volumes = {record.volume for group in groups for record in group} | complete
    check_names(root, volumes)
    extra, incomplete = [], set()
    if keep_empty is not None or complete:
        incomplete = overlapping(root, volumes, read.incomplete_volumes)
        if incomplete:
            notes.append(
                f"{len(incomplete)} volumes give no lesion-free slices, as not all of their"
                " lesions are known (see errors.txt and notes.txt)."
            )
        if not read.all_volumes_known:
            notes.append(UNKNOWN_VOLUME)
        if keep_empty in ("volumes", "all"):
            found = index.volumes if only is None else [only]
            extra = unnamed(root, found, volumes | read.incomplete_volumes)
            notes += index.notes if only is None else []
    labelled, absent = {}, []
    if args.subvolumes is not None:
        labelled, absent = labelled_volumes(Path(args.subvolumes), index, records)
    sources, more = list_sources(
        records,
        extra,
        masks=masks,
        patient_pattern=args.patient_pattern,
        incomplete=incomplete,
        ignored=ignored,
        rejected=rejected,
        complete=complete - incomplete,
        root=root,
        labelled=labelled,
    )
    file_notes = sorted(set(read.notes))
    errors = read.errors + absent
    return Input(root, masks, records, sources, errors, notes + more, file_notes)


def _read_bookmarks(args: argparse.Namespace, images: VolumeIndex) -> ReadResult:
    given = {"one_based": args.one_based or None, "frame": args.frame}
    given |= {"slices": args.bookmark_slices, "volume": args.bookmark_volume}
    for name in ("binary_masks", "segments"):
        if not (value := getattr(args, name)):
            continue
        understood = name in options_of(args.bookmarks[0], args.bookmark_format)
        if not understood and args.masks is None:
            raise DataError(
                f"Expected masks for --{name.replace('_', '-')} but got bookmarks of another format"
                " and no --masks. Name the masks, or leave the option out.",
                path=args.bookmarks[0],
            )
        given[name] = value if understood else None
    options = {name: value for name, value in given.items() if value is not None}
    return read_with_reviews(
        args.bookmarks[0],
        args.bookmarks[1:],
        images,
        ids=args.bookmark_ids,
        format=args.bookmark_format,
        one_axis=args.one_axis,
        nifti_form=args.nifti_form,
        **options,
    )
