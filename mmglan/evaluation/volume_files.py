"""Files of 3D truth and 3D predictions: JSON boxes and folders of label maps."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data_prep.coco import lesions_3d
from data_prep.volumes import Volume, read_label_volume
from mmglan.evaluation.coco_files import GroundTruth, read_json, rle_of
from mmglan.evaluation.stacking import Stacks, stack
from mmglan.evaluation.volume_cases import (
    VolumeInstances,
    connected_instances,
    instances_of_labels,
    instances_of_stacks,
)

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")


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
        boxes=[_ended([lesion["box3d"] for lesion in found[volume_id]]) for volume_id in ids],
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
    return [_ended(found[volume_id], 7) for volume_id in truth.ids]


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


def label_map(folder: str | Path, volume_id: str, components: bool = False) -> Volume:
    """Reads `<volume_id>.nii.gz` (or another volume format) of a folder, on the axial grid."""
    folder = Path(folder)
    for suffix in SUFFIXES:
        path = folder / f"{volume_id}{suffix}"
        if path.is_file():
            volume = read_label_volume(path, root=folder, allow_empty=True)
            if components:
                array = connected_instances(volume.array)
                volume = Volume(array, volume.spacing_mm, volume.source_id, volume.grid)
            return volume
    raise FileNotFoundError(
        f"{folder.name}: Expected a label map of volume {volume_id} "
        f"({volume_id}.nii.gz) but there is none; write an empty one if nothing was found"
    )


def truth_of_label_maps(folder: str | Path, components: bool = False) -> VolumeTruth:
    """3D truth from a folder of label maps alone; every volume is a patient of its own."""
    folder = Path(folder)
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    ids = sorted({name[: -len(s)] for name in names for s in SUFFIXES if name.endswith(s)})
    if not ids:
        raise FileNotFoundError(
            f"{folder.name}: Expected a folder of label maps (*.nii.gz) but found none"
        )
    maps = (label_map(folder, volume_id, components) for volume_id in ids)
    spacing, boxes, axes = [], [], []
    for volume in tqdm(maps, total=len(ids), desc="true label maps"):
        lesions = lesions_3d(volume.array, volume.spacing_mm)
        spacing.append(volume.spacing_mm)
        boxes.append(_ended([lesion["box3d"] for lesion in lesions]))
        axes.append(np.array([lesion["short_axis_mm"] for lesion in lesions]))
    return VolumeTruth(folder.name, ids, np.arange(len(ids)), np.array(spacing), boxes, axes)


def read_scores(path: str | Path) -> dict[str, dict[int, float]]:
    """Confidence of label maps' labels: a CSV with columns volume_id, label, score."""
    name = Path(path).name
    scores: dict[str, dict[int, float]] = {}
    with open(path, newline="") as file:
        reader = csv.DictReader(file)
        missing = {"volume_id", "label", "score"} - set(reader.fieldnames or [])
        if missing:
            raise ValueError(f"{name}: Expected columns volume_id, label, score; no {missing}")
        for line, row in enumerate(reader, 2):
            try:
                scores.setdefault(row["volume_id"], {})[int(row["label"])] = float(row["score"])
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"{name}, row {line}: Expected a label and a score "
                    f"but got {row['label']!r} and {row['score']!r}"
                ) from error
    return scores


def compare_label_maps(
    truth: VolumeTruth,
    truth_folder: str | Path,
    *,
    predicted_folder: str | Path | None = None,
    scores: dict[str, dict[int, float]] | None = None,
    stacks: list[Stacks] | None = None,
    masks: list[dict] | None = None,
    components: bool = False,
) -> list[VolumeInstances]:
    """Voxel instances of every volume, read one after the other.

    Args:
        truth: Volumes wanted.
        truth_folder: Their true label maps.
        predicted_folder: Predicted label maps; or else
        stacks: stacked results of each volume with
        masks: their masks.
        scores: Confidences by volume and label, see `read_scores`.
        components: Predicted maps are not instances: number their connected components.
    """
    found = []
    for number, volume_id in enumerate(tqdm(truth.ids, desc="label maps")):
        true_map = label_map(truth_folder, volume_id)
        try:
            if predicted_folder is None:
                one = instances_of_stacks(stacks[number], masks[number], true_map.array)
            else:
                predicted = label_map(predicted_folder, volume_id, components)
                difference = predicted.grid.difference_from(true_map.grid)
                if difference:
                    raise ValueError(f"Expected the grid of the truth with {difference}")
                confidence = None if scores is None else scores.get(volume_id, {})
                one = instances_of_labels(predicted.array, true_map.array, confidence)
        except ValueError as error:
            raise ValueError(f"volume {volume_id}: {error}") from error
        found.append(one)
    return found


def _ended(boxes, width=6):
    """Inclusive boxes to boxes that end after their last voxel."""
    boxes = np.array(boxes, dtype=np.float64).reshape(-1, width)
    boxes[:, 3:6] += 1
    return boxes
