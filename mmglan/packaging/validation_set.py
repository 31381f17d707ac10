"""The lesions that a detector finds in the volumes of a prepared validation set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.errors import DataError
from data_prep.volumes.geometry import Grid
from data_prep.volumes.volume import Volume
from mmglan.detections.coco_files import read_ground_truth
from mmglan.detections.slice_files import read_slices
from mmglan.detections.stacking import Stacking
from mmglan.detections.volume_files import VolumeGroundTruth, ended, read_volumes
from mmglan.evaluation.detection_sets.detection_set import DetectionSet
from mmglan.evaluation.detection_sets.volume_sets import detection_set_of_volumes
from mmglan.evaluation.froc import FROCCurve
from mmglan.evaluation.metrics import Metrics
from mmglan.evaluation.protocols import Criterion, Protocol
from mmglan.inference.fusion import Slices2D
from mmglan.inference.linking import link_lesions


@dataclass(frozen=True, eq=False)
class PreparedVolumes:
    """Whole volumes as `mmglan prepare --whole-volumes` writes them.

    Attributes:
        gt: Their lesions.
        slices: For each volume of `gt` the paths of its slices.
    """

    gt: VolumeGroundTruth
    slices: list[list[Path]]


def read_prepared_volumes(annotations: Path, images: Path, split: str = "val") -> PreparedVolumes:
    """Read which slices make the volumes of a split.

    Args:
        annotations: Folder of `<split>_whole.json` and `volumes_<split>.json`.
        images: Folder of the slices.
        split: `val`, `test`.

    Raises:
        DataError: A file, slice or shape that is missing.
    """
    whole, volumes = annotations / f"{split}_whole.json", annotations / f"volumes_{split}.json"
    for path in (whole, volumes):
        if not path.is_file():
            raise DataError(
                "Expected all slices of the validation volumes but found no such file. Prepare the"
                " data with mmglan prepare --whole-volumes, or name its folder with --annotations.",
                path=path,
            )
    gt = read_volumes(volumes)
    found: dict[str, dict[int, Path]] = {name: {} for name in gt.ids}
    for image in read_ground_truth(whole).images:
        if image.get("volume_id") in found:
            found[image["volume_id"]][image["slice_index"]] = images / image["file_name"]
    for name, size in zip(gt.ids, gt.n_slices, strict=True):
        if not found[name] or sorted(found[name]) != list(range(size or len(found[name]))):
            raise DataError(
                f"Expected all {size} slices of volume {name} but got {len(found[name])}. Prepare "
                "the data with mmglan prepare --whole-volumes.",
                path=whole,
            )
    return PreparedVolumes(gt, [[found[name][z] for z in sorted(found[name])] for name in gt.ids])


@dataclass(frozen=True, eq=False)
class ValidationResult:
    """Detections on the validation set, matched with its lesions.

    Attributes:
        detections: The 3D boxes and their overlaps with the lesions.
        criterion: When a detection finds a lesion.
        curve: FROC per volume.
        scores, is_lesion, patient: `(N,)` of the detections that are right or wrong; duplicates
            and those on regions to ignore are left out.
    """

    detections: DetectionSet
    criterion: Criterion
    curve: FROCCurve
    scores: np.ndarray
    is_lesion: np.ndarray
    patient: np.ndarray


def validate(
    detector: Slices2D,
    volumes: PreparedVolumes,
    protocol: Protocol,
    progress: Callable[[Iterable], Iterable] = iter,
    stacking: Stacking | None = None,
) -> ValidationResult:
    """Detect in all volumes and match the result with their lesions.

    Args:
        detector: Takes slices that are normalised already.
        volumes: The validation set.
        protocol: Its first criterion for volumes decides.
        progress: Wraps the loop over the volumes.
        stacking: How slices are stacked; default as in the paper.
    """
    boxes = []
    spacings = np.where(np.isfinite(volumes.gt.spacing_mm), volumes.gt.spacing_mm, 1.0)
    for paths, spacing in progress(list(zip(volumes.slices, spacings, strict=True))):
        array = read_slices(paths)
        volume = _volume(array, tuple(map(float, spacing)))
        lesions, _ = link_lesions(
            dict(detector.detect(array)),
            volume,
            threshold=0.0,
            classes=detector.classes,
            stacking=stacking,
        )
        boxes.append(ended([[*lesion.box3d, lesion.score] for lesion in lesions], 7))
    detections = detection_set_of_volumes(volumes.gt, boxes, protocol)
    criterion = protocol.criteria_3d[0]
    matches = detections.match(criterion, protocol)
    counts = (matches.hits > 0) | matches.false_positive
    return ValidationResult(
        detections,
        criterion,
        Metrics(detections, protocol).curves[criterion],
        detections.scores[counts],
        matches.hits[counts] > 0,
        detections.patient[detections.pred_image[counts]],
    )


def _volume(array: np.ndarray, spacing_mm: tuple[float, float, float]) -> Volume:
    grid = Grid(array.shape[::-1], spacing_mm, (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    return Volume(array, spacing_mm, "", grid)
