"""From volumes and RECIST bookmarks to a COCO data set: `mmglan prepare`.

Writes normalised 16-bit slices, annotation files with pseudo masks (and without), ground truth
where there are voxel masks, overlays to look at, and a report. A run that was interrupted goes on
where it stopped when the same command is given again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import chain
from pathlib import Path

from data_prep import parallel
from data_prep.atomic_files import json_bytes, write_bytes
from data_prep.bookmarks.one_based import one_based_notes
from data_prep.command_line import reports_errors
from data_prep.dataset import annotation_files, bookmark_sheet, coco_entries, collect, run_report
from data_prep.dataset.one_volume import process_volume
from data_prep.dataset.one_volume.slice_selection import VolumeOptions
from data_prep.dataset.one_volume.volume_result import VolumeResult
from data_prep.dataset.one_volume.volume_task import VolumeTask, plain
from data_prep.dataset.output_folder import OutputFolder
from data_prep.dataset.prepare_args import parse_args, volume_options
from data_prep.dataset.sources import Source
from data_prep.dataset.splits import split_plan
from data_prep.dataset.splits.given_split import split_options
from data_prep.dataset.splits.split import SPLITS, read_split_file
from data_prep.dataset.splits.split_plan import SplitOptions
from data_prep.errors import DataError
from data_prep.prepare_input import Input, read_input
from data_prep.volumes.search.image_root import ImageRoot, open_images


@reports_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 only if every bookmark and every volume was processed."""
    args = parse_args(argv)
    try:
        return run(args)
    except KeyboardInterrupt:
        print("Interrupted. The same command goes on from here.", file=sys.stderr)
        return 130


def run(args: argparse.Namespace) -> int:
    """Prepare a data set as the command line says."""
    with open_images(args.images) as images:
        if images.unpacked and args.scheduler:
            raise DataError(
                "Expected volumes that other machines can read but got an archive. Unpack it, or"
                " leave out --scheduler.",
                path=args.images,
            )
        return _run(args, images)


def _run(args: argparse.Namespace, images: ImageRoot) -> int:
    options = volume_options(args)
    given = read_input(args, options.keep_empty, images)
    if args.check:
        return _check(args, options, given)
    if args.ids:
        header = ["volume_id", "patient_id", "volume", "patient"]
        rows = ([s.volume_id, s.patient_id, s.volume, s.patient] for s in given.sources)
        run_report.write_ids(Path(args.ids), Path(args.out_dir), header, rows)
    split = split_options(args, given.sources)
    _check_whole_volumes(args, split)
    with OutputFolder(
        args.out_dir, _identity(args, options, given), overwrite=args.overwrite
    ) as out:
        _process_volumes(args, options, given, split, out.path)
        return _write_dataset(args, options, given, split, out)


def _check_whole_volumes(args: argparse.Namespace, split: SplitOptions) -> None:
    """Raise DataError for whole volumes of some splits where the split is found out later."""
    if set(args.whole_volumes) not in (set(), set(SPLITS)) and split.given is None:
        raise DataError(
            f"Expected a given split for --whole-volumes {','.join(args.whole_volumes)} but got a"
            " random one. Name a --split-file, or write all volumes whole."
        )


def _check(args: argparse.Namespace, options: VolumeOptions, given: Input) -> int:
    """Process volumes until there are enough bookmarks for the sheet, and write only that."""
    errors, notes = [str(error) for error in given.errors], [*given.notes, *given.file_notes]

    def results(folder: str) -> Iterator[VolumeResult]:
        masks = given.masks
        mask_root = masks.parent if masks is not None and masks.is_file() else masks
        for source in given.sources:
            if source.marks:
                process_volume.run(VolumeTask(source, given.root, mask_root, options, folder))
                result = process_volume.load_result(Path(folder), source.volume_id)
                errors.extend(result.errors)
                notes.extend(result.notes)
                yield result

    with tempfile.TemporaryDirectory() as folder:
        picture = bookmark_sheet.sheet(Path(folder), results(folder))
    for note in notes:
        print(note)
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    if picture is None:
        print("error: no bookmark could be placed, so there is nothing to show", file=sys.stderr)
        return 1
    path = Path(args.out_dir) / bookmark_sheet.FILE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, picture)
    print(f"Written to {path}: the first bookmarks on their slices. Nothing else was done.")
    return 1 if errors else 0


def _process_volumes(
    args: argparse.Namespace,
    options: VolumeOptions,
    given: Input,
    split: SplitOptions,
    out_dir: Path,
) -> None:
    """Let the workers make what is missing in the output folder."""
    masks = given.masks
    mask_root = masks.parent if masks is not None and masks.is_file() else masks
    # Workers elsewhere have another current folder.
    root, out = os.path.abspath(given.root), os.path.abspath(out_dir)
    mask_root = None if mask_root is None else os.path.abspath(mask_root)

    def options_of(source: Source) -> VolumeOptions:
        split_of = split.given or {}
        chosen = set(SPLITS) == set(args.whole_volumes)
        chosen = chosen or split_of.get(source.patient_id) in args.whole_volumes
        return replace(options, whole_volumes=chosen)

    work = parallel.run_tasks(
        process_volume.run,
        (VolumeTask(s, root, mask_root, options_of(s), out) for s in given.sources),
        total=len(given.sources),
        jobs=args.jobs,
        backend=args.backend,
        scheduler=args.scheduler,
        description="volumes",
        progress=not args.quiet,
    )
    for _ in work:
        pass


def _write_dataset(
    args: argparse.Namespace,
    options: VolumeOptions,
    given: Input,
    split: SplitOptions,
    out: OutputFolder,
) -> int:
    """Write annotations, overlays and reports from the volumes' results; return the exit status."""
    load = partial(process_volume.load_result, out.path)

    def results() -> Iterator[VolumeResult]:
        return (load(source.volume_id) for source in given.sources)

    found = collect.collect(results())
    known = zip(given.sources, found.stored_sizes, strict=True)
    sizes = {source.volume: size for source, size in known if size is not None}
    file_notes = given.file_notes + found.notes + one_based_notes(given.records, sizes)
    classes = tuple(sorted(found.sites)) if args.classes == "site" else coco_entries.ONE_CLASS
    plans, more = split_plan.plan_splits(found, split)
    if args.classes == "site":
        more.append(f"Classes, the line for a config: classes = {classes}")
    for plan in plans:
        annotation_files.write(
            out,
            results,
            found,
            plan,
            context=options.context,
            propagate=options.propagate,
            whole={*args.whole_volumes, *(["test"] if args.subvolumes else [])},
            classes=classes,
            normalize=options.normalize,
        )
    run_report.write_overlays(out, found, load, args.overlays)
    picture = bookmark_sheet.sheet(out.path, results())
    if picture is not None:
        out.write(bookmark_sheet.FILE_NAME, picture)
    errors = [str(error) for error in given.errors] + found.errors
    report = run_report.build(found, plans, given.notes + more, errors, _stated(args, options))
    run_report.write(out, report, file_notes, errors)
    run_report.show(report, file_notes, errors, out.path)
    return 1 if errors or not found.slices["listed"].any() else 0


def _stated(args: argparse.Namespace, options: VolumeOptions) -> dict:
    """Collect what changes the output, for the report and to tell one run from another."""
    split = {"split": args.split, "folds": args.folds, "seed": args.seed}
    if args.split_file is not None:
        split = {"split_file": _digest(sorted(read_split_file(args.split_file).items()))}
    split |= {"one_axis": args.one_axis} | ({"classes": "site"} if args.classes == "site" else {})
    split |= {"whole_volumes": list(args.whole_volumes)}
    return asdict(options) | split | {"overlays": args.overlays}


def _identity(args: argparse.Namespace, options: VolumeOptions, given: Input) -> dict:
    """Collect what tells this run from another, the input included."""
    listed = (
        [s.volume_id, s.patient_id, s.volume, s.patient, s.mask, s.boxes, s.complete]
        for s in given.sources
    )
    marks = (plain(record) for s in given.sources for record in s.marks)
    read = chain(marks, map(str, given.errors))
    return _stated(args, options) | {"bookmarks": _digest(read), "volumes": _digest(listed)}


def _digest(content: Iterable) -> str:
    total = hashlib.sha256()
    for part in content:
        total.update(json_bytes(part))
    return total.hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main())
