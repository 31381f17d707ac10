"""Find lesions in scans: findings, label map, DICOM SR and SEG, Slicer markups.

mmglan infer model.zip scans --out-dir findings
mmglan infer config.py epoch_160.pth scans --out-dir findings

MODEL is a file of `mmglan package`, or several, whose detections are fused. INPUT is a scan (a file
of any volume format or a DICOM folder), a folder of many, a DICOMDIR, or a zip archive of these.
Each scan gets a folder in OUT that is named by a pseudonym. A run that was interrupted goes on when
the same command is given again; a scan with a fault is named and leaves the others alone.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from itertools import takewhile
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data_prep.command_line import at_least, between, reports_errors
from data_prep.dataset.output_folder import OutputFolder
from data_prep.dataset.prepare_args import add_series_options, normalization, series_choice
from data_prep.parallel import run_tasks
from mmglan.commands.common.scans import Scan, find_scans, names_of, write_scan_ids
from mmglan.inference.model_label import is_model_file
from mmglan.shipped_files import find_config

FORMAT_NAMES = (
    "json",
    "csv",
    "labels",
    "slicer",
    "coco",
    "overlays",
    "page",
    "dicom-sr",
    "dicom-seg",
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="mmglan infer",
        usage="mmglan infer MODEL … INPUT … --out-dir OUT [option …]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "words",
        nargs="+",
        metavar="MODEL INPUT",
        help="one or more model files (.zip), or CONFIG CHECKPOINT; then scans or folders of scans",
    )
    add("--out-dir", type=Path, required=True, help="folder of the results")
    add(
        "--formats",
        nargs="+",
        choices=FORMAT_NAMES,
        help="files to write beside findings.json (default: all that the scan allows)",
    )
    add(
        "--seg-type",
        choices=["binary", "labelmap"],
        default="binary",
        help="type of dicom-seg: binary (default), or labelmap, which not every PACS takes",
    )
    add(
        "--threshold",
        type=between(0, 1),
        help="lowest score reported (default: 2 false positives per volume for one model file, "
        "else 0.3)",
    )
    add(
        "--fp-per-volume",
        type=at_least(0, float),
        metavar="N",
        help="instead: so many false positives per volume on the model file's validation set",
    )
    add(
        "--min-short-axis",
        type=at_least(0, float),
        default=0.0,
        metavar="MM",
        help="leave out lesions with a shorter short axis (default 0)",
    )
    add("--device", default="cpu", help="cpu (default), cuda, cuda:1")
    add("--batch-size", type=at_least(1), default=8, help="slices at once (default 8)")
    add("--amp", action="store_true", help="run backbone and neck in bfloat16")
    add("--tta", choices=["flip"], help="also predict on mirrored slices")
    add(
        "--strict",
        action="store_true",
        help="refuse scans that the model file is not for, instead of a warning",
    )
    add(
        "--normalize",
        type=normalization,
        help="as in mmglan prepare: image (default), volume, window:low,high; model files know it",
    )
    add_series_options(add)
    add("--ids", type=Path, help="also write the table of pseudonyms and paths; keep it apart")
    add("--jobs", type=at_least(1), default=1, help="worker processes (default 1)")
    add("--backend", default="loky", help="joblib backend: loky, threading, dask, …")
    add("--scheduler", help="address of a Dask scheduler, tcp://host:8786")
    add("--quiet", action="store_true", help="no progress bar")
    args = parser.parse_args(argv)
    if args.seg_type != "binary" and "dicom-seg" not in (args.formats or FORMAT_NAMES):
        parser.error("--seg-type needs dicom-seg among --formats")
    first, *others = args.words
    models, rest = [first], list(others)
    args.checkpoint = None
    if is_zip(first):
        more = list(takewhile(is_model_file, others))
        models, rest = [first, *more], others[len(more) :]
    elif rest:
        args.checkpoint = rest.pop(0)
    if not rest:
        parser.error("expected MODEL INPUT or CONFIG CHECKPOINT INPUT")
    args.models, args.inputs = models, [Path(word) for word in rest]
    return args


def is_zip(word: str) -> bool:
    """Tell whether a word names an archive: as the first word, a model file."""
    return word.lower().endswith(".zip")


@reports_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 if a scan was left out."""
    args = parse_args(argv)
    with ExitStack() as unpacked:
        return _infer(args, find_scans(args, unpacked))


def _infer(args: argparse.Namespace, scans: Sequence[Scan]) -> int:
    write_scan_ids(args, scans)
    tasks = _tasks(args, scans)
    run = _statement(args, scans, tasks)
    failed = 0
    with OutputFolder(args.out_dir, run, overwrite=None):
        todo = [task for task in tasks if not task.folder.exists()]
        for outcome in _outcomes(args, todo):
            _report(outcome)
            failed += outcome.error is not None
    earlier = len(tasks) - len(todo)
    said = f", {earlier} of them by an earlier run" if earlier else ""
    print(f"{len(tasks) - failed} of {len(tasks)} scans done{said}.")
    return 1 if failed else 0


def _report(outcome: Any) -> None:
    """Tell warnings and errors when they come, above the progress bar."""
    for warning in outcome.warnings:
        tqdm.write(f"warning: {outcome.volume_id}: {warning}", file=sys.stderr)
    if outcome.error:
        tqdm.write(f"error: {outcome.volume_id}: {outcome.error}", file=sys.stderr)


def _tasks(args: argparse.Namespace, scans: Sequence[Scan]) -> list[Any]:
    from mmglan.inference.scan_job import DetectorOptions, ScanTask  # imports PyTorch

    detector = DetectorOptions(
        models=tuple(map(_model_path, args.models)),
        checkpoint=args.checkpoint,
        threshold=args.threshold,
        fp_per_volume=args.fp_per_volume,
        min_short_axis_mm=args.min_short_axis,
        strict=args.strict,
        normalize=args.normalize,
        tta=args.tta,
        amp=args.amp,
        device=args.device,
        batch_size=args.batch_size,
        threads=1 if args.jobs > 1 else None,
    )
    formats = None if args.formats is None else tuple(args.formats)
    return [
        ScanTask(
            scan.root,
            scan.path,
            name,
            args.out_dir,
            detector,
            formats,
            series_choice(args),
            args.seg_type,
        )
        for name, scan in zip(names_of(scans), scans, strict=True)
    ]


def _model_path(word: str) -> str:
    return word if is_zip(word) else str(find_config(word))


def _statement(
    args: argparse.Namespace, scans: Sequence[Scan], tasks: Sequence[Any]
) -> dict[str, Any]:
    """Say what the results depend on, without a path: a rerun goes on, another run is refused."""
    options = asdict(tasks[0].detector)
    for name in ("models", "checkpoint", "device", "batch_size", "threads"):
        del options[name]
    paths = "\n".join(os.fspath(scan.given / scan.path) for scan in scans)
    return {
        "command": "infer",
        **options,
        "series": asdict(series_choice(args)),
        "formats": None if args.formats is None else sorted(args.formats),
        "seg_type": args.seg_type,
        "models": [_content_hash(model) for model in tasks[0].detector.models],
        "checkpoint": None if args.checkpoint is None else _content_hash(args.checkpoint),
        "scans": len(tasks),
        "paths": _sha256(paths.encode("utf-8", "surrogateescape")),
    }


def _content_hash(path: str) -> str:
    if not path.endswith(".py"):
        return _sha256(Path(path).read_bytes())
    from mmengine.config import Config

    return _sha256(Config.fromfile(path).pretty_text.encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _outcomes(args: argparse.Namespace, tasks: Sequence[Any]) -> Iterable[Any]:
    from mmglan.inference.scan_job import run_scan, run_scans

    if tasks and args.jobs == 1 and args.backend == "loky" and args.scheduler is None:
        return tqdm(run_scans(tasks), "scans", len(tasks), file=sys.stderr, disable=args.quiet)
    return run_tasks(
        run_scan,
        tasks,
        jobs=args.jobs,
        backend=args.backend,
        scheduler=args.scheduler,
        description="scans",
        progress=not args.quiet,
    )


if __name__ == "__main__":
    raise SystemExit(main())
