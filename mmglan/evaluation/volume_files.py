"""Files of 3D truth and 3D boxes, and 2D results stacked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmglan.evaluation.coco_files import GroundTruth, read_json
from mmglan.evaluation.mask_codes import rle_of
from mmglan.evaluation.stacking import Stacks, stack


@dataclass
class VolumeTruth:
    """3D lesions of a test set.

    Attributes:
        name: File or folder, for messages.
        ids: Volume ids, sorted.
        patient: `(I,)` index of each volume's patient.
        spacing_mm: `(I, 3)` x, y, z; NaN where unknown.
        boxes: For each volume `(m, 6)`, upper corners where the box ends.
        short_axis_mm: For each volume `(m,)`.
    """

    name: str
    ids: list[str]
    patient: np.ndarray
    spacing_mm: np.ndarray
    boxes: list[np.ndarray]
    short_axis_mm: list[np.ndarray]


def read_volumes(path: str | Path) -> VolumeTruth:
    """Reads `volumes_<split>.json` as `data_prep.prepare` writes it."""
    name, data = Path(path).name, read_json(path)
    if not isinstance(data, dict) or not {"volumes", "lesions"} <= set(data):
        raise ValueError(f"{name}: Expected a file with volumes and lesions")
    volumes = sorted(data["volumes"], key=lambda volume: str(volume["volume_id"]))
    ids = [str(volume["volume_id"]) for volume in volumes]
    found: dict[str, list] = {volume_id: [] for volume_id in ids}
    for row, lesion in enumerate(data["lesions"]):
        if str(lesion["volume_id"]) not in found:
            raise ValueError(
                f"{name}: lesions[{row}]: Expected a volume of this file "
                f"but got {lesion['volume_id']}"
            )
        found[str(lesion["volume_id"])].append(lesion)
    patients = [str(volume.get("patient_id", volume["volume_id"])) for volume in volumes]
    spacing = [volume.get("spacing_mm") or [np.nan] * 3 for volume in volumes]
    return VolumeTruth(
        name=name,
        ids=ids,
        patient=np.unique(patients, return_inverse=True)[1].astype(int),
        spacing_mm=np.array(spacing, dtype=np.float64).reshape(-1, 3),
        boxes=[ended([lesion["box3d"] for lesion in found[volume_id]]) for volume_id in ids],
        short_axis_mm=[
            np.array([lesion.get("short_axis_mm") or np.nan for lesion in found[volume_id]])
            for volume_id in ids
        ],
    )


def read_boxes_3d(rows: list[dict], truth: VolumeTruth, name: str) -> list[np.ndarray]:
    """3D predictions `volume_id`, `box3d` (inclusive voxels), `score`, for each volume `(n, 7)`."""
    found: dict[str, list] = {volume_id: [] for volume_id in truth.ids}
    for number, row in enumerate(rows):
        if str(row.get("volume_id")) not in found:
            raise ValueError(
                f"{name}: result {number}: Expected a volume of {truth.name} "
                f"but got {row.get('volume_id')}"
            )
        found[str(row["volume_id"])].append([*row["box3d"], row["score"]])
    return [ended(found[volume_id], 7) for volume_id in truth.ids]


def stack_results(
    images: GroundTruth, grouped: list[list[dict]], ids: list[str], iou_threshold: float = 0.1
) -> tuple[list[Stacks], list[dict]]:
    """Stacks the 2D results of each volume.

    Args:
        images: Annotation file whose images name `volume_id` and `slice_index`.
        grouped: Results by image.
        ids: Volumes wanted; results of others have no 3D truth and are left out.
        iou_threshold: See `mmglan.evaluation.stacking.stack`.

    Returns:
        tuple: For each volume its stacks, and its masks by (slice, row).
    """
    slices: dict[str, dict[int, np.ndarray]] = {volume_id: {} for volume_id in ids}
    masks: dict[str, dict] = {volume_id: {} for volume_id in ids}
    for image, rows in zip(images.images, grouped, strict=True):
        if "volume_id" not in image or "slice_index" not in image:
            raise ValueError(
                f"{images.name}: image {image['id']}: Expected volume_id and slice_index for "
                "stacking but they are missing"
            )
        volume, index = str(image["volume_id"]), int(image["slice_index"])
        if volume not in slices:
            continue
        boxes = np.array([[*row["bbox"], row["score"]] for row in rows], dtype=np.float64)
        boxes = boxes.reshape(-1, 5)
        boxes[:, 2:4] += boxes[:, :2]
        slices[volume][index] = boxes
        for number, row in enumerate(rows):
            if "segmentation" in row:
                masks[volume][index, number] = rle_of(image, row)
    stacks = [stack(slices[volume_id], iou_threshold=iou_threshold) for volume_id in ids]
    return stacks, [masks[volume_id] for volume_id in ids]


def ended(boxes, width: int = 6) -> np.ndarray:
    """Inclusive boxes to boxes that end after their last voxel."""
    boxes = np.array(boxes, dtype=np.float64).reshape(-1, width)
    boxes[:, 3:6] += 1
    return boxes
