"""Files of 3D ground truth and 3D boxes, and 2D results stacked."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmglan.detections.coco_files import GroundTruth, read_json
from mmglan.detections.coco_masks import rle_of
from mmglan.detections.coco_results import Results
from mmglan.detections.stacking import Stacking, Stacks
from mmglan.detections.value_checks import check_size, check_spacing, finite_numbers


@dataclass
class VolumeGroundTruth:
    """3D lesions of a test set.

    Attributes:
        name: File or folder, for messages.
        ids: Volume ids, sorted.
        patient: `(I,)` index of each volume's patient.
        spacing_mm: `(I, 3)` x, y, z; NaN where unknown.
        boxes: For each volume `(m, 6)`, upper corners where the box ends.
        short_axis_mm: For each volume `(m,)`.
        n_slices: For each volume the number of its axial slices, None where unknown.
        ignored: For each volume `(r, 6)` boxes of findings to ignore, neither lesion nor
            background (`"ignore": true` in the file).
    """

    name: str
    ids: list[str]
    patient: np.ndarray
    spacing_mm: np.ndarray
    boxes: list[np.ndarray]
    short_axis_mm: list[np.ndarray]
    n_slices: list[int | None] = field(default_factory=list)
    ignored: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self):
        self.ignored = self.ignored or [np.zeros((0, 6)) for _ in self.ids]

    @property
    def has_ignored(self) -> bool:
        """Whether any finding is to be ignored."""
        return any(map(len, self.ignored))


def read_volumes(path: str | Path) -> VolumeGroundTruth:
    """Read `volumes_<split>.json` as `data_prep.prepare` writes it."""
    name, data = Path(path).name, read_json(path)
    if not isinstance(data, dict) or not all(
        isinstance(data.get(part), list) for part in ("volumes", "lesions")
    ):
        raise ValueError(f"{name}: Expected a file with lists of volumes and lesions")
    for row, volume in enumerate(data["volumes"]):
        if not isinstance(volume, dict) or volume.get("volume_id") is None:
            raise ValueError(f"{name}: volumes[{row}]: Expected a volume_id but got {volume}")
        check_spacing(volume.get("spacing_mm"), f"{name}: volumes[{row}]", "x, y, z", (3,))
        shape = volume.get("shape_zyx")
        if shape is not None and not finite_numbers(shape, 3):
            raise ValueError(
                f"{name}: volumes[{row}]: Expected shape_zyx as three numbers but got {shape!r}"
            )
    volumes = sorted(data["volumes"], key=lambda volume: str(volume["volume_id"]))
    ids = [str(volume["volume_id"]) for volume in volumes]
    found: dict[str, list] = {volume_id: [] for volume_id in ids}
    ignored: dict[str, list] = {volume_id: [] for volume_id in ids}
    if len(found) != len(ids):
        raise ValueError(f"{name}: Expected distinct volume ids but some repeat")
    for row, lesion in enumerate(data["lesions"]):
        where = f"{name}: lesions[{row}]"
        if not isinstance(lesion, dict) or str(lesion.get("volume_id")) not in found:
            got = lesion.get("volume_id") if isinstance(lesion, dict) else lesion
            raise ValueError(f"{where}: Expected a volume of this file but got {got}")
        _check_box_3d(lesion.get("box3d"), where)
        check_size(lesion, where)
        kept = ignored if lesion.get("ignore") else found
        kept[str(lesion["volume_id"])].append(lesion)
    patients = [_patient_of(volume) for volume in volumes]
    spacing = [volume.get("spacing_mm") or [np.nan] * 3 for volume in volumes]
    return VolumeGroundTruth(
        name=name,
        ids=ids,
        patient=np.unique(patients, return_inverse=True)[1].astype(int),
        spacing_mm=np.array(spacing, dtype=np.float64).reshape(-1, 3),
        boxes=[ended([lesion["box3d"] for lesion in found[volume_id]]) for volume_id in ids],
        short_axis_mm=[
            np.array([lesion.get("short_axis_mm") or np.nan for lesion in found[volume_id]])
            for volume_id in ids
        ],
        ignored=[ended([lesion["box3d"] for lesion in ignored[v]]) for v in ids],
        n_slices=[(volume.get("shape_zyx") or [None])[0] for volume in volumes],
    )


def _patient_of(volume: dict) -> str:
    """Return the patient of a volume; without `patient_id` it counts as a patient."""
    patient = volume.get("patient_id")
    return f"volume {volume['volume_id']}" if patient in (None, "") else str(patient)


def read_boxes_3d(rows: list[dict], gt: VolumeGroundTruth, name: str) -> list[np.ndarray]:
    """Read 3D predictions `volume_id`, `box3d` (inclusive voxels), `score`, `(n, 7)` each."""
    found: dict[str, list] = {volume_id: [] for volume_id in gt.ids}
    for number, row in enumerate(rows):
        where = f"{name}: result {number}"
        if not isinstance(row, dict) or str(row.get("volume_id")) not in found:
            got = row.get("volume_id") if isinstance(row, dict) else row
            raise ValueError(f"{where}: Expected a volume of {gt.name} but got {got}")
        _check_box_3d(row.get("box3d"), where)
        if not finite_numbers([row.get("score")], 1):
            raise ValueError(f"{where}: Expected a finite score but got {row.get('score')!r}")
        found[str(row["volume_id"])].append([*row["box3d"], row["score"]])
    return [ended(found[volume_id], 7) for volume_id in gt.ids]


def _check_box_3d(box, where: str):
    if not finite_numbers(box, 6) or any(box[axis + 3] < box[axis] for axis in range(3)):
        raise ValueError(
            f"{where}: Expected box3d as x1, y1, z1, x2, y2, z2, upper corners not below the "
            f"lower ones, but got {box!r}"
        )


def stack_results(
    images: GroundTruth, results: Results, ids: list[str], stacking: Stacking | None = None
) -> tuple[list[Stacks], list[dict]]:
    """Stack the 2D results of each volume.

    Args:
        images: Annotation file whose images name `volume_id` and `slice_index`.
        results: Of a detector on the images.
        ids: Volumes wanted; results of others have no 3D ground truth and are left out.
        stacking: How; default as in the paper.

    Returns:
        tuple: For each volume its stacks, and its masks by (slice, row).
    """
    slices: dict[str, dict[int, np.ndarray]] = {volume_id: {} for volume_id in ids}
    masks: dict[str, dict] = {volume_id: {} for volume_id in ids}
    boxes = np.column_stack([results.corners, results.scores])
    for volume, parts in slices_of_volumes(images, results).items():
        if volume not in slices:
            continue
        for index, (image, part) in parts.items():
            slices[volume][index] = boxes[part]
            for number, mask in enumerate(results.masks[part] if results.masks else ()):
                if mask is not None:
                    masks[volume][index, number] = rle_of(image, {"segmentation": mask})
    how = stacking or Stacking()
    stacks = [how.stacks(slices[volume_id]) for volume_id in ids]
    return stacks, [masks[volume_id] for volume_id in ids]


def slice_of(image: Mapping[str, Any], where: str) -> tuple[str, int]:
    """Return the volume and the slice index of an image record.

    Args:
        image: COCO image record.
        where: File and entry, for the message.

    Raises:
        ValueError: It does not say which slice it is.
    """
    if image.get("volume_id") is None or not finite_numbers([image.get("slice_index")], 1):
        raise ValueError(
            f"{where}: Expected volume_id and slice_index for stacking but got "
            f"{image.get('volume_id')} and {image.get('slice_index')}"
        )
    return str(image["volume_id"]), int(image["slice_index"])


def slices_of_volumes(
    images: GroundTruth, results: Results
) -> dict[str, dict[int, tuple[Mapping[str, Any], slice]]]:
    """Sort images by volume and slice: the image entry, and where its results stand.

    Raises:
        ValueError: An image does not say which slice it is, or a slice is there twice.
    """
    volumes: dict[str, dict] = {}
    for image, part in zip(images.images, results.slices(len(images.images)), strict=True):
        where = f"{images.name}: image {image['id']}"
        volume, index = slice_of(image, where)
        if index in volumes.setdefault(volume, {}):
            raise ValueError(
                f"{where}: Expected each slice once but slice {index} of volume {volume} is there "
                "again"
            )
        volumes[volume][index] = image, part
    return volumes


def warn_of_parts(images: GroundTruth, volumes: VolumeGroundTruth) -> None:
    """Warn if the images are not all slices of the volumes: 3D metrics are too good then."""
    tested = Counter(str(image.get("volume_id")) for image in images.images)
    sizes = dict(zip(volumes.ids, volumes.n_slices, strict=False))
    parts = [name for name, size in sizes.items() if size and tested[name] < size]
    if parts:
        here, whole = (sum(count[name] for name in parts) for count in (tested, sizes))
        warnings.warn(
            f"{images.name}: {len(parts)} of {len(sizes)} volumes are there in part only ({here} "
            f"of their {whole} slices): false positives on the other slices are not counted, so "
            "3D metrics are too good. Test on <split>_whole.json of prepare --whole-volumes",
            stacklevel=3,
        )


def ended(boxes, width: int = 6) -> np.ndarray:
    """Turn inclusive boxes into boxes that end after their last voxel."""
    boxes = np.array(boxes, dtype=np.float64).reshape(-1, width)
    boxes[:, 3:6] += 1
    return boxes
