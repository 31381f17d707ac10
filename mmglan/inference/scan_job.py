"""One scan of a run: read, detect, write its folder whole or not at all."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import torch

from data_prep.atomic_files import replace_folder, write_bytes
from data_prep.dataset.output_folder import STATE, OutputError
from data_prep.errors import DataError, printable
from data_prep.volumes.dicom_source import read_source_slices
from data_prep.volumes.series_choice import SeriesChoice
from data_prep.volumes.volume import read_volume
from mmglan.inference.outputs import FORMATS, Result, make_files
from mmglan.inference.volume_detector import VolumeDetector


@dataclass(frozen=True)
class DetectorOptions:
    """What a worker process needs to build the detector; see `VolumeDetector`.

    `threads` limits PyTorch's threads in each process; None keeps its own number.
    """

    config: str
    checkpoint: str
    threshold: float = 0.3
    min_short_axis_mm: float = 0.0
    device: str = "cpu"
    batch_size: int = 8
    normalize: str = "image"
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
    """

    root: Path
    path: str
    volume_id: str
    out_dir: Path
    detector: DetectorOptions
    formats: tuple[str, ...] | None = None
    choice: SeriesChoice = field(default_factory=SeriesChoice)

    @property
    def folder(self) -> Path:
        """Where the results are once they are complete."""
        return self.out_dir / self.volume_id


@dataclass(frozen=True)
class ScanOutcome:
    """How a scan ended: the number of its lesions, or what went wrong."""

    volume_id: str
    lesions: int = 0
    error: str | None = None


def run_scan(task: ScanTask) -> ScanOutcome:
    """Find and write the lesions of a scan; a fault of the scan is told, not raised.

    Raises:
        DataError: The detector cannot be built.
        OutputError: The output folder cannot take the results, nor those of other scans.
    """
    detector = _detector(task.detector)
    try:
        return ScanOutcome(task.volume_id, process_scan(task, detector))
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


def process_scan(task: ScanTask, detector: VolumeDetector) -> int:
    """Do the work of `run_scan` with a detector that is there already.

    Returns:
        Number of lesions.

    Raises:
        DataError: The scan cannot be read, or has no images to refer to.
        OutputError: The output folder cannot take the results.
    """
    place = task.root / task.path
    volume = read_volume(
        place,
        root=task.root,
        series_rule=task.choice.rule,
        modality=task.choice.modality,
        series_description=task.choice.description,
    )
    formats = task.formats
    if formats is None:
        dicom = bool(volume.slice_uids)
        formats = [name for name, kind in FORMATS.items() if dicom or not kind.needs_dicom]
    sources = ()
    if any(FORMATS[name].needs_dicom for name in formats):
        sources = read_source_slices(place, volume, root=task.root)
    findings, labels = detector.detect_in(volume, volume_id=task.volume_id)
    result = Result(findings, labels, volume, sources)
    _write_folder(task, make_files(result, {"json", *formats}))
    return len(findings.lesions)


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
def _detector(options: DetectorOptions) -> VolumeDetector:
    """Build the detector once per process."""
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    return VolumeDetector(
        options.config,
        options.checkpoint,
        threshold=options.threshold,
        min_short_axis_mm=options.min_short_axis_mm,
        device=options.device,
        batch_size=options.batch_size,
        normalize=options.normalize,
    )
