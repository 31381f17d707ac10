"""`VolumeDetector`: from the path of a scan to `Findings`."""

from __future__ import annotations

# The check comes first: the imports below fail without a reason the reader could act on.
from mmglan import _require_openmmlab  # noqa: F401

# isort: split
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from mmengine.config import Config
from pydicom.dataset import Dataset

from data_prep.errors import DataError
from data_prep.volumes.dicom.source import read_source_slices
from data_prep.volumes.volume import Volume, read_volume
from mmglan.detections.findings import Findings, ScanGeometry
from mmglan.detections.stacking import Stacking
from mmglan.inference.averaged_slices import AveragedSlices, reach_of, stacking_of
from mmglan.inference.detector_model import DetectorModel, load_detector_model
from mmglan.inference.fusion import FusedSlices, MirroredSlices, Slices2D
from mmglan.inference.linking import Detections2D, link_lesions, measure_ahead
from mmglan.inference.memory import in_a_file
from mmglan.inference.model_file import ModelRecord
from mmglan.inference.operating_point import choose_threshold
from mmglan.inference.slice_detector import SliceDetector

Model: TypeAlias = str | os.PathLike | Config


@dataclass(frozen=True, eq=False)
class FoundSlices:
    """Detections by axial slice of a scan, and what its reader has to know."""

    slices: Mapping[int, Detections2D]
    warnings: tuple[str, ...] = ()


class VolumeDetector:
    """Find lesions in scans with a trained detector.

    Args:
        model: Model file (`mmglan package`), a list of them (their boxes are fused), or a config.
        checkpoint: Weights of a config; None keeps the initial ones.
        threshold: Lowest score of a lesion that is reported. Default: for one model file the
            threshold at 2 false positives per volume, else 0.3.
        fp_per_volume: Instead of `threshold`, false positives per volume on the validation set of
            the model file.
        min_short_axis_mm: Lesions with a shorter short axis are left out; those without axes stay.
        strict: Refuse scans that the model file is not for, instead of a warning.
        normalize: Normalisation of slices; default that of the model file, `image` for a config.
        tta: `flip` also predicts on mirrored slices and fuses both.
        device: `cpu` or `cuda`, see `SliceDetector`.
        batch_size: Slices at once.
        amp: Run parts of the network in bfloat16, see `SliceDetector`.

    Raises:
        DataError: A model file that is refused, or options that do not go together.

    Examples:
        `VolumeDetector("model.zip", fp_per_volume=1).detect("scan.nii.gz").lesions`
    """

    records: tuple[ModelRecord, ...]

    def __init__(
        self,
        model: Model | Sequence[Model],
        checkpoint: str | os.PathLike | None = None,
        *,
        threshold: float | None = None,
        fp_per_volume: float | None = None,
        min_short_axis_mm: float = 0.0,
        strict: bool = False,
        normalize: str | None = None,
        tta: str | None = None,
        device: str = "cpu",
        batch_size: int = 8,
        amp: bool = False,
    ) -> None:
        models: Sequence[Model]
        if isinstance(model, (str, os.PathLike, Config)):
            models = [model]
        elif checkpoint is not None:
            raise DataError("Expected several model files, or one config with its checkpoint.")
        else:
            models = model
        loaded = [load_detector_model(one, checkpoint, normalize=normalize) for one in models]
        record = loaded[0].record if len(loaded) == 1 else None
        choice = choose_threshold(record, threshold, fp_per_volume, tta)
        if strict and any(one.record is None for one in loaded):
            raise DataError("Expected a model file with --strict. Make one with mmglan package.")
        self._set(
            fused_slices(
                loaded,
                tta=tta,
                min_score=choice.slice_floor,
                device=device,
                batch_size=batch_size,
                amp=amp,
            ),
            choice.threshold,
            min_short_axis_mm,
            _description(loaded),
            common_stacking(loaded),
        )
        self.records = tuple(one.record for one in loaded if one.record is not None)
        self.strict, self.calibration, self.remarks = strict, choice.calibration, choice.remarks

    @classmethod
    def of(
        cls,
        slices: Slices2D,
        *,
        threshold: float = 0.3,
        min_short_axis_mm: float = 0.0,
        model: Mapping[str, Any] | None = None,
    ) -> VolumeDetector:
        """Make a detector of volumes from anything with `classes` and `detect(array)`."""
        detector = cls.__new__(cls)
        detector._set(slices, threshold, min_short_axis_mm, dict(model or {}))
        return detector

    def _set(self, slices, threshold, min_short_axis_mm, model, stacking=None) -> None:
        self.slices, self.threshold, self.stacking = slices, threshold, stacking
        self.min_short_axis_mm, self.model = min_short_axis_mm, model
        self.records = ()
        self.strict, self.calibration, self.remarks = False, None, ()

    def detect(self, path: str | os.PathLike, *, volume_id: str = "v0001") -> Findings:
        """Read a scan of any format and find its lesions.

        Raises:
            DataError: The scan cannot be read, or with `strict` is not what the model is for.
        """
        volume = in_a_file(read_volume(path))
        header = None
        if volume.slice_uids and self.records:
            header = read_source_slices(path, volume)[0].header
        return self.detect_in(volume, volume_id=volume_id, header=header)[0]

    def detect_in(
        self, volume: Volume, *, volume_id: str = "v0001", header: Dataset | None = None
    ) -> tuple[Findings, np.ndarray]:
        """Find the lesions of a volume that is read already.

        Args:
            volume: The scan.
            volume_id: Its pseudonym.
            header: Header of one of its DICOM images; without it a model file's modality and
                series descriptions are not compared.

        Returns:
            The findings, and their label map `(Z, Y, X)` on the axial grid.
        """
        return self.link(volume, self.find(volume, header), volume_id=volume_id)

    def find(self, volume: Volume, header: Dataset | None = None) -> FoundSlices:
        """Find what is on each slice: the part of `detect_in` that the network takes.

        Beside it, a thread measures the masks whose scores make them lesions by themselves.
        """
        warnings = self._warnings(volume, header)
        slices = {}
        with ThreadPoolExecutor(1) as helper:
            for z, found in self.slices.detect(volume.array):
                slices[z] = found
                helper.submit(measure_ahead, found, volume, self.threshold)
        return FoundSlices(slices, tuple(warnings))

    def link(
        self, volume: Volume, found: FoundSlices, *, volume_id: str = "v0001"
    ) -> tuple[Findings, np.ndarray]:
        """Join what is on the slices to lesions: the rest of `detect_in`."""
        lesions, labels = link_lesions(
            found.slices,
            volume,
            threshold=self.threshold,
            classes=self.slices.classes,
            min_short_axis_mm=self.min_short_axis_mm,
            stacking=self.stacking,
            calibration=self.calibration,
        )
        said = []
        bare = sum(lesion.recist is None for lesion in lesions)
        if self.min_short_axis_mm and bare:
            said.append(f"Not measured, so kept whatever their short axis: {bare} lesions.")
        findings = Findings(
            volume_id,
            ScanGeometry.of(volume),
            lesions,
            classes=tuple(self.slices.classes),
            model=self.model,
            threshold=self.threshold,
            warnings=(*volume.anonymous_notes, *self.remarks, *found.warnings, *said),
        )
        return findings, labels

    def _warnings(self, volume: Volume, header: Dataset | None) -> list[str]:
        found = dict.fromkeys(
            line for record in self.records for line in record.expected.departures(volume, header)
        )
        if found and self.strict:
            raise DataError(
                f"Expected a scan as the model is for but got one whose {'; '.join(found)}. Leave "
                "--strict out to get findings with a warning.",
                path=volume.source_id,
            )
        return [f"Not what the model is for: {line}." for line in found]


def fused_slices(loaded: Sequence[DetectorModel], *, tta: str | None, **options: Any) -> Slices2D:
    """Build the detector of slices: one model, or several and mirrored views fused.

    Scores are averaged over neighbouring slices if the configs test so.

    Raises:
        DataError: The configs test so over different numbers of slices.
    """
    reach, *others = {reach_of(model.config) for model in loaded}
    if others:
        raise DataError(
            "Expected models whose scores are averaged over the same number of slices"
            f" (neighbour_reach) but got {sorted((reach, *others))}. Use them one by one."
        )
    members: list[Slices2D] = [SliceDetector(model, **options) for model in loaded]
    if tta == "flip":
        members = [view for member in members for view in (member, MirroredSlices(member))]
    detector = members[0] if len(members) == 1 else FusedSlices(members)
    return AveragedSlices(detector, reach) if reach else detector


def common_stacking(loaded: Sequence[DetectorModel]) -> Stacking:
    """Return how the configs stack slices when they are tested.

    Raises:
        DataError: They do it in different ways.
    """
    stacking, *others = {stacking_of(model.config) for model in loaded}
    if others:
        raise DataError(
            "Expected models that stack slices in one way (stacking of the test evaluator) but got"
            f" {', '.join(sorted(map(str, (stacking, *others))))}. Use them one by one."
        )
    return stacking


def _description(loaded: Sequence[DetectorModel]) -> dict[str, Any]:
    if len(loaded) == 1:
        return loaded[0].description
    parts = [model.description for model in loaded]
    return {**parts[0], "name": " + ".join(p["name"] for p in parts), "hash": None, "parts": parts}
