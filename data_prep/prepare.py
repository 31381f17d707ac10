"""From volumes and RECIST bookmarks to a COCO data set: `mmglan prepare`.

Writes normalised 16-bit slices, annotation files with pseudo masks (and without), true lesions
where there are voxel masks, pictures to look at, and a report. A run that was interrupted goes on
where it stopped when the same command is given again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import chain
from pathlib import Path

from data_prep import parallel
from data_prep.atomic_files import json_bytes
from data_prep.bookmarks.one_based import one_based_notes
from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.bookmarks.record import ReadResult
from data_prep.command_line import print_any_character
from data_prep.dataset import annotation_files, collect, process_volume, run_report, split_plan
from data_prep.dataset.output_folder import OutputFolder
from data_prep.dataset.prepare_args import parse_args, volume_options
from data_prep.dataset.slice_selection import VolumeOptions
from data_prep.dataset.sources import Source, list_sources
from data_prep.dataset.split import read_split_file
from data_prep.dataset.volume_result import VolumeResult
from data_prep.dataset.volume_task import VolumeTask, plain
from data_prep.errors import DataError
from data_prep.paths import without_series
from data_prep.volumes.find import VolumeIndex
from data_prep.volumes.same_volume import check_names, overlapping, unnamed

UNKNOWN_VOLUME = (
    "Refused bookmarks (see errors.txt) name no volume that is there: slices kept as lesion-free"
    " may hold their lesions."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 only if every bookmark and every volume was processed."""
    print_any_character()
    args = parse_args(argv)
    try:
        return run(args)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted. The same command goes on from here.", file=sys.stderr)
        return 130


def run(args: argparse.Namespace) -> int:
    """Prepare a data set as the command line says."""
    images = Path(args.images)
    if not os.path.exists(images):
        raise DataError(
            "Expected the volumes but found nothing there. Correct --images.", path=images
        )
    root = images.parent if images.is_file() else images
    options = volume_options(args)
    masks = None if args.masks is None else Path(args.masks)
    if masks is not None and not masks.exists():
        raise DataError("Expected masks but found nothing there. Correct --masks.", path=masks)
    index = VolumeIndex(root, [Path(args.out_dir), *([masks] if masks is not None else [])])
    read = _read_bookmarks(args, index)
    records, errors, file_notes = read.records, read.errors, sorted(set(read.notes))
    notes = []
    if images.is_file():
        mine = [record for record in records if without_series(record.volume) == images.name]
        if len(mine) < len(records):
            notes.append(f"{len(records) - len(mine)} bookmarks of other volumes were left out.")
        records = mine
    volumes = {record.volume for record in records}
    check_names(root, volumes)
    extra, incomplete = [], set()
    if options.keep_empty is not None:
        incomplete = overlapping(root, volumes, read.incomplete_volumes)
        if not read.all_volumes_known:
            notes.append(UNKNOWN_VOLUME)
        if options.keep_empty != "slices":
            found = [images.name] if images.is_file() else index.volumes
            extra = unnamed(root, found, volumes | read.incomplete_volumes)
    sources, more = list_sources(
        records,
        extra,
        masks=masks,
        patient_pattern=args.patient_pattern,
        incomplete=incomplete,
    )
    notes += more
    if args.ids:
        run_report.write_ids(Path(args.ids), Path(args.out_dir), sources)
    split = _split_options(args, sources)
    run = _run(args, options, sources, errors)
    with OutputFolder(args.out_dir, run, overwrite=args.overwrite) as out:
        tasks = (_task(source, root, masks, options, out.path) for source in sources)
        for _ in parallel.run_tasks(
            process_volume.run,
            tasks,
            total=len(sources),
            jobs=args.jobs,
            backend=args.backend,
            scheduler=args.scheduler,
            description="volumes",
            progress=not args.quiet,
        ):
            pass
        load = partial(process_volume.load_result, out.path)

        def results() -> Iterator[VolumeResult]:
            return (load(source.volume_id) for source in sources)

        found = collect.collect(results())
        known = zip(sources, found.stored_sizes, strict=True)
        sizes = {source.volume: size for source, size in known if size is not None}
        file_notes += found.notes + one_based_notes(records, sizes)
        plans, more = split_plan.plan_splits(found, split)
        notes += more
        for plan in plans:
            annotation_files.write(
                out,
                results,
                found,
                plan,
                context=options.context,
                whole_volumes=options.whole_volumes,
            )
        run_report.write_overlays(out, found, load, args.overlays)
        lines = [str(error) for error in errors] + found.errors
        report = run_report.build(found, plans, notes, lines, _stated(args, options))
        run_report.write(out, report, file_notes, lines)
    run_report.show(report, file_notes, lines, Path(args.out_dir))
    return 1 if lines or not found.slices["listed"].any() else 0


def _read_bookmarks(args: argparse.Namespace, images: VolumeIndex) -> ReadResult:
    warnings.filterwarnings("ignore", module="pydicom")  # they quote values of the files
    given = {"one_based": args.one_based or None, "frame": args.frame}
    given |= {"slices": args.bookmark_slices, "volume": args.bookmark_volume}
    options = {name: value for name, value in given.items() if value is not None}
    return read_bookmarks(args.bookmarks, format=args.bookmark_format, image_root=images, **options)


def _task(
    source: Source, root: Path, masks: Path | None, options: VolumeOptions, out_dir: Path
) -> VolumeTask:
    mask_root = masks.parent if masks is not None and masks.is_file() else masks
    return VolumeTask(
        source=source,
        root=os.path.abspath(root),  # workers elsewhere have another current folder
        mask_root=None if mask_root is None else os.path.abspath(mask_root),
        options=options,
        out_dir=os.path.abspath(out_dir),
    )


def _split_options(args: argparse.Namespace, sources: Sequence[Source]) -> split_plan.SplitOptions:
    given = None
    if args.split_file is not None:
        listed = read_split_file(args.split_file)
        given = {}
        for source in sources:
            split = listed.get(source.patient, listed.get(source.volume))
            if split is not None and given.setdefault(source.patient_id, split) != split:
                raise DataError(
                    f"Expected one split per patient but got {given[source.patient_id]} and {split}"
                    f" for the patient of {source.volume}. List patients, not volumes.",
                    path=Path(args.split_file).name,
                )
    elif args.split is None and args.folds is None:
        given = _split_of_bookmarks(sources)
    return split_plan.SplitOptions(args.split or (0.70, 0.15, 0.15), args.folds, args.seed, given)


def _split_of_bookmarks(sources: Sequence[Source]) -> dict[str, str] | None:
    """The split that the bookmarks themselves state, if they do."""
    given: dict[str, str] = {}
    for source in sources:
        for record in source.records:
            if record.split is None:
                continue
            if given.setdefault(source.patient_id, record.split) != record.split:
                raise DataError(
                    f"Expected one split per patient but got {given[source.patient_id]} and"
                    f" {record.split}. Correct the split column, or use --split.",
                    path=record.file,
                    row=record.row,
                )
    return given or None


def _stated(args: argparse.Namespace, options: VolumeOptions) -> dict:
    """Everything that changes the output, for the report and to tell one run from another."""
    split = {"split": args.split, "folds": args.folds, "seed": args.seed}
    if args.split_file is not None:
        split = {"split_file": _digest(sorted(read_split_file(args.split_file).items()))}
    return asdict(options) | split | {"overlays": args.overlays}


def _run(
    args: argparse.Namespace,
    options: VolumeOptions,
    sources: Sequence[Source],
    errors: Sequence[DataError],
) -> dict:
    listed = ([s.volume_id, s.patient_id, s.volume, s.patient, s.mask] for s in sources)
    marks = (plain(record) for source in sources for record in source.records)
    read = chain(marks, map(str, errors))
    return _stated(args, options) | {"bookmarks": _digest(read), "volumes": _digest(listed)}


def _digest(content: Iterable) -> str:
    total = hashlib.sha256()
    for part in content:
        total.update(json_bytes(part))
    return total.hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main())
