"""Which prediction found which lesion: the findings of each image, from COCO files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmglan.detections.box_overlaps import box_pairs
from mmglan.detections.coco_files import read_ground_truth
from mmglan.detections.value_checks import finite_numbers
from mmglan.evaluation.matching import match
from mmglan.reporting.run_files import read_json


@dataclass(frozen=True)
class Truth:
    """One true lesion.

    Attributes:
        box: `(x, y, width, height)`, pixels.
        segmentation: COCO segmentation or None.
        axes_mm: (long, short) RECIST axes, mm, or None.
        found_at: IoU threshold -> score of the first prediction that hits it, None if none does.
            It counts as found at every score threshold up to that score.
    """

    box: tuple[float, float, float, float]
    segmentation: Any = None
    axes_mm: tuple[float, float] | None = None
    found_at: dict[float, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Prediction:
    """One prediction.

    Attributes:
        box: `(x, y, width, height)`, pixels.
        score: 0 to 1.
        segmentation: COCO segmentation or None.
        overlap: largest IoU of its box with a true box, 0 where there is none.
        status: IoU threshold -> `'tp'`, `'fp'` or `'dup'` (hits only lesions that a higher
            score found already: counted neither way).
    """

    box: tuple[float, float, float, float]
    score: float
    segmentation: Any = None
    overlap: float = 0.0
    status: dict[float, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageFindings:
    """Truth and predictions of one image.

    Attributes:
        image: its record in the COCO file (`file_name`, `width`, `height` …).
        lesions: in the file's order.
        predictions: by falling score.
    """

    image: dict[str, Any]
    lesions: list[Truth]
    predictions: list[Prediction]


def load_results(
    path: Path, ground_truth: dict[str, Any], *, masks: bool = False
) -> list[dict[str, Any]]:
    """Read a COCO results file and check it against the ground truth.

    Args:
        path: the file.
        ground_truth: from `load_truth`.
        masks: results of masks, which need no box.

    Raises:
        ValueError: not a list of results, a result of an image that the ground truth lacks, or one
            without a finite score and box (masks: or segmentation).
    """
    results = read_json(path)
    if not isinstance(results, list):
        raise ValueError(f"{Path(path).name}: Expected a list of results but got another thing.")
    known = {image["id"] for image in ground_truth["images"]}
    for number, result in enumerate(results):
        if not isinstance(result, dict) or not {"image_id", "score"} <= result.keys():
            raise ValueError(
                f"{Path(path).name}, result {number}: Expected image_id, bbox and score."
            )
        if isinstance(result["image_id"], (list, dict)) or result["image_id"] not in known:
            raise ValueError(
                f"{Path(path).name}, result {number}: Expected an image of the ground truth but "
                f"got image_id {result['image_id']}. Give the annotation file of this test set."
            )
        box = result.get("bbox")
        if not finite_numbers([result["score"]], 1) or not (
            finite_numbers(box, 4) or (masks and box is None and "segmentation" in result)
        ):
            raise ValueError(
                f"{Path(path).name}, result {number}: Expected a finite score and bbox as x, y, "
                f"width, height but got {result['score']!r} and {box!r}."
            )
    return results


def load_truth(path: Path) -> dict[str, Any]:
    """Read a COCO annotation file.

    Raises:
        ValueError: no `images` or `annotations`, an image without `file_name`, or what the
            metrics refuse as well.
    """
    truth = read_json(path)
    if not isinstance(truth, dict) or not {"images", "annotations"} <= truth.keys():
        raise ValueError(f"{Path(path).name}: Expected COCO images and annotations but got none.")
    read_ground_truth(path)
    for row, image in enumerate(truth["images"]):
        if not isinstance(image.get("file_name"), str):
            raise ValueError(
                f"{Path(path).name}: images[{row}]: Expected the file_name of a picture but got "
                f"{image.get('file_name')}"
            )
    return truth


def _axes(annotation: dict[str, Any]) -> tuple[float, float] | None:
    long, short = annotation.get("long_axis_mm"), annotation.get("short_axis_mm")
    return (float(long), float(short)) if long and short else None


def mark_findings(
    ground_truth: dict[str, Any],
    results: list[dict[str, Any]],
    *,
    thresholds: tuple[float, ...] = (0.25, 0.5),
    segmentations: list[dict[str, Any]] | None = None,
    assignment: str = "every",
    duplicates: str = "ignore",
) -> list[ImageFindings]:
    """Match the predictions of each image with its lesions by box IoU, as the metrics do.

    With the assignments `every` and `greedy` a status does not depend on predictions of lower
    score, so it holds at every score threshold.

    Args:
        ground_truth: COCO annotations, as read from JSON.
        results: COCO box results (`image_id, bbox, score`).
        thresholds: IoU thresholds.
        segmentations: COCO mask results of the same predictions; where they are as many as
            `results` and in the same order, the masks are shown with the boxes.
        assignment: see `mmglan.evaluation.matching.match`.
        duplicates: likewise.

    Returns:
        One entry per image of the ground truth, by image id.
    """
    results = _with_masks(results, segmentations)
    images = sorted(ground_truth["images"], key=lambda i: (isinstance(i["id"], str), i["id"]))
    position = {image["id"]: index for index, image in enumerate(images)}
    annotations = sorted(
        (a for a in ground_truth["annotations"] if not a.get("iscrowd")),
        key=lambda a: position[a["image_id"]],
    )
    results = sorted(results, key=lambda r: (position[r["image_id"]], -r["score"]))
    pred_image = np.array([position[r["image_id"]] for r in results], int)
    gt_image = np.array([position[a["image_id"]] for a in annotations], int)
    scores = np.array([r["score"] for r in results], float)
    pairs = box_pairs(
        _corners([r["bbox"] for r in results]),
        pred_image,
        _corners([a["bbox"] for a in annotations]),
        np.bincount(gt_image, minlength=len(images)),
    )
    best = np.zeros(len(results))
    np.maximum.at(best, pairs.pred, pairs.overlap)
    status: list[dict[float, str]] = [{} for _ in results]
    found_at: list[dict[float, float | None]] = [{} for _ in annotations]
    for threshold in thresholds:
        matches = match(
            pairs,
            scores,
            len(annotations),
            threshold=threshold,
            assignment=assignment,
            duplicates=duplicates,
        )
        for index, marks in enumerate(status):
            kind = "fp" if matches.false_positive[index] else "tp" if matches.hits[index] else "dup"
            marks[threshold] = kind
        for index, finder in enumerate(matches.found_by):
            found_at[index][threshold] = float(scores[finder]) if finder >= 0 else None
    found = [ImageFindings(image, [], []) for image in images]
    for annotation, index, hits in zip(annotations, gt_image, found_at, strict=True):
        found[index].lesions.append(
            Truth(
                tuple(annotation["bbox"]), annotation.get("segmentation"), _axes(annotation), hits
            )
        )
    for result, index, overlap, marks in zip(results, pred_image, best, status, strict=True):
        found[index].predictions.append(
            Prediction(
                tuple(result["bbox"]),
                float(result["score"]),
                result.get("segmentation"),
                float(overlap),
                marks,
            )
        )
    return found


def check_counts(metrics: dict[str, Any], findings: list[ImageFindings]) -> None:
    """Check that figures and cases are of the same test set and results, as far as counts tell.

    Args:
        metrics: content of a metrics file.
        findings: from `mark_findings`.

    Raises:
        ValueError: other numbers of images, lesions or predictions.
    """
    wanted = (metrics.get("counts") or {}).get("bbox") or {}
    found = {
        "n_images": len(findings),
        "n_lesions": sum(len(image.lesions) for image in findings),
        "n_predictions": sum(len(image.predictions) for image in findings),
    }
    other = [name for name, count in found.items() if wanted.get(name, count) != count]
    if other:
        raise ValueError(
            "Expected annotations and box results of the test set that the metrics file is of, "
            + ", ".join(f"{name} {wanted[name]}" for name in other)
            + ", but got "
            + ", ".join(f"{name} {found[name]}" for name in other)
            + ". Name its annotations with --gt, or evaluate again."
        )


def _corners(boxes: list[list[float]]) -> np.ndarray:
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _with_masks(results, segmentations):
    if segmentations is None or len(segmentations) != len(results):
        return results
    return [
        {**box, "segmentation": mask.get("segmentation")}
        if mask["image_id"] == box["image_id"] and mask["score"] == box["score"]
        else box
        for box, mask in zip(results, segmentations, strict=True)
    ]
