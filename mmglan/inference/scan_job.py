"""One scan of a run: read, detect, write its folder whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from data_prep.atomic_files import replace_folder, write_bytes
from data_prep.dataset.output_folder import STATE, OutputError
from data_prep.errors import DataError, printable
from data_prep.volumes.dicom.series_choice import SeriesChoice
from data_prep.volumes.dicom.source import SourceSlice, missing_identifier, read_source_slices
from data_prep.volumes.volume import Volume, read_volume
from mmglan.inference.memory import in_a_file
from mmglan.inference.outputs import FORMATS, Result, make_ahead, make_files
from mmglan.inference.volume_detector import FoundSlices, VolumeDetector

# Options of a worker that are no options of the detector.
_NOT_CHOSEN = ("models", "threads")


@dataclass(frozen=True)
class DetectorOptions:
    """What a worker process needs to build the detector; see `VolumeDetector`.

    `threads` limits PyTorch's threads in each process; None keeps its own number.
    """

    models: tuple[str, ...]
    checkpoint: str | None = None
    threshold: float | None = None
    fp_per_volume: float | None = None
    min_short_axis_mm: float = 0.0
    strict: bool = False
    normalize: str | None = None
    tta: str | None = None
    amp: bool = False
    device: str = "cpu"
    batch_size: int = 8
    threads: int | None = None


@dataclass(frozen=True)
class ScanTask:
    """One scan.

    Attributes:
        root, path: Folder that holds the scans, and the scan's path below it.
        volume_id: Its pseudonym, the name of its folder in the output.
        out_dir: Folder of the results.
        detector: The detector.
        formats: Names in `FORMATS`; None for all that the scan allows. JSON is always written.
        choice: Which DICOM series are asked for.
        seg_type: See `Result`.
    """

    root: Path
    path: str
    volume_id: str
    out_dir: Path
    detector: DetectorOptions
    formats: tuple[str, ...] | None = None
    choice: SeriesChoice = field(default_factory=SeriesChoice)
    seg_type: str = "binary"

    @property
    def folder(self) -> Path:
        """Where the results are once they are complete."""
        return self.out_dir / self.volume_id


@dataclass(frozen=True)
class ScanOutcome:
    """How a scan ended: the number of its lesions and warnings, or what went wrong."""

    volume_id: str
    lesions: int = 0
    error: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Scan:
    """A scan that was read: the volume, its DICOM images, the formats to write."""

    volume: Volume
    sources: Sequence[SourceSlice]
    formats: frozenset[str]
    warnings: tuple[str, ...] = ()


def run_scan(task: ScanTask) -> ScanOutcome:
    """Find and write the lesions of a scan; a fault of the scan is told, not raised.

    Raises:
        DataError: The detector cannot be built.
        OutputError: The output folder cannot take the results, nor those of other scans.
    """
    return next(run_scans([task]))


def run_scans(tasks: Sequence[ScanTask]) -> Iterator[ScanOutcome]:
    """Do several scans in this process, as `run_scan`, in their order.

    While the network works on a scan, one thread reads the next, one links and writes the last, and
    packs the scan for its page.
    """
    detector = detector_of(tasks[0].detector)
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        coming = reader.submit(_told, _read, tasks[0], detector)
        going: Future | None = None
        for number, task in enumerate(tasks, start=1):
            found = coming.result()
            if number < len(tasks):
                coming = reader.submit(_told, _read, tasks[number], detector)
            if isinstance(found, _Scan):
                ahead = writer.submit(make_ahead, found.volume, found.formats)
                found = _told(_detect, task, detector, found, ahead)
            if going is not None:
                yield going.result()
            going = writer.submit(_told, _write, task, detector, found)
        yield going.result()


def _told(step: Callable[..., Any], task: ScanTask, *given: Any) -> Any:
    """Do a step of a scan; give the outcome in place of its result where the scan has a fault."""
    try:
        return step(task, *given)
    except OutputError:
        raise
    except DataError as error:
        return ScanOutcome(task.volume_id, error=str(error))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, OSError) as error:
        # A header that no reader foresaw: other scans go on.
        text = printable(f"{type(error).__name__}: {error}")
        error = DataError(
            f"Expected a scan that can be read and reported but got {text}. Try fewer --formats.",
            path=task.path,
        )
        return ScanOutcome(task.volume_id, error=str(error))


def _read(task: ScanTask, detector: VolumeDetector) -> _Scan:
    place = task.root / task.path
    volume = read_volume(
        place,
        root=task.root,
        series_rule=task.choice.rule,
        modality=task.choice.modality,
        series_description=task.choice.description,
    )
    volume = in_a_file(volume)
    formats = task.formats
    dicom = bool(volume.slice_uids)
    if task.seg_type != "binary" and not dicom:
        raise DataError(
            f"Expected a DICOM series with --seg-type {task.seg_type} but got a scan that cannot "
            "have a DICOM segmentation. Leave the option out.",
            path=task.path,
        )
    if formats is None:
        formats = [name for name, kind in FORMATS.items() if dicom or not kind.needs_dicom]
    sources = ()
    compared = dicom and detector.records
    if compared or any(FORMATS[name].needs_dicom for name in formats):
        sources = read_source_slices(place, volume, root=task.root)
    missing = missing_identifier(sources)
    if missing is None:
        return _Scan(volume, sources, frozenset({"json", *formats}))
    if task.formats is not None and any(FORMATS[name].needs_dicom for name in formats):
        raise DataError(
            f"Expected images with a {missing}, which DICOM results refer to, but got some without."
            " Leave dicom-sr and dicom-seg out of --formats.",
            path=task.path,
        )
    kept = {name for name in formats if not FORMATS[name].needs_dicom}
    said = () if kept == set(formats) else (f"No DICOM results: the images have no {missing}.",)
    return _Scan(volume, sources, frozenset({"json", *kept}), said)


def _detect(
    task: ScanTask, detector: VolumeDetector, scan: _Scan, ahead: Future
) -> tuple[_Scan, FoundSlices, Future]:
    header = scan.sources[0].header if scan.sources else None
    return scan, detector.find(scan.volume, header), ahead


def _write(
    task: ScanTask, detector: VolumeDetector, found: tuple[_Scan, FoundSlices, Future] | ScanOutcome
) -> ScanOutcome:
    if isinstance(found, ScanOutcome):
        return found
    scan, slices, ahead = found
    findings, labels = detector.link(scan.volume, slices, volume_id=task.volume_id)
    findings = replace(findings, warnings=(*findings.warnings, *scan.warnings))
    result = Result(
        findings, labels, scan.volume, scan.sources, task.seg_type, packed=ahead.result()
    )
    _write_folder(task, make_files(result, scan.formats))
    return ScanOutcome(task.volume_id, len(findings.lesions), warnings=findings.warnings)


def _write_folder(task: ScanTask, files: dict[str, bytes]) -> None:
    unfinished = task.out_dir / STATE / "tmp" / task.volume_id
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        for name, content in files.items():
            write_bytes(unfinished / name, content)
        replace_folder(unfinished, task.folder)
    except OSError as error:
        raise OutputError(
            f"Expected to write the results but got: {error.strerror or error}. Free space or "
            "correct the permissions, then run the same command again; it goes on where it "
            "stopped.",
            path=task.volume_id,
        ) from None


@lru_cache(maxsize=1)
def detector_of(options: DetectorOptions) -> VolumeDetector:
    """Build the detector once per process."""
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    chosen = {name: value for name, value in vars(options).items() if name not in _NOT_CHOSEN}
    models = options.models if len(options.models) > 1 else options.models[0]
    return VolumeDetector(models, **chosen)
