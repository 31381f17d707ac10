"""The data of the report's slice browser: slices, outlines and statuses, without identifiers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmglan.evaluation.detection_status import (
    DetectionStatus,
    LesionStatus,
    Rule,
    TestSetStatus,
)
from mmglan.reporting.page_tables import rule_id
from mmglan.reporting.slice_images import decode_mask, encode, outline, slice_of, thumbnail

MAX_DETECTIONS = 30
# Scores that counts are told from: more of them would make the page as large as the results.
MAX_SCORES = 5000


def totals(status: TestSetStatus) -> dict[str, Any]:
    """Return the scores from which the counts at any score threshold follow.

    Returns:
        By rule `{'found': [...], 'fp': [...], 'steps': [m, n]}`: the scores at which lesions are
        found first, and those of the false positives, both falling; of more than `MAX_SCORES`
        every m-th or n-th one.
    """
    out, scores = {}, status.boxes.scores
    for rule, matches in status.matches.items():
        found = scores[matches.found_by[matches.found_by >= 0]]
        sides = [-np.sort(-one.round(6)) for one in (found, scores[matches.false_positive])]
        steps = [max(1, -(-len(one) // MAX_SCORES)) for one in sides]
        found, false = (
            one[step - 1 :: step].tolist() for one, step in zip(sides, steps, strict=True)
        )
        out[rule_id(rule)] = {"found": found, "fp": false, "steps": steps}
    return out


def choose(status: TestSetStatus, limit: int, rule: Rule, score: float) -> list[int]:
    """Return at most `limit` images: most missed lesions and false positives first, then by id.

    Args:
        status: of all images.
        limit: how many.
        rule: matching rule at which errors count.
        score: score threshold at which errors count.

    Returns:
        The places of the chosen images, rising.
    """
    count = len(status.gt.images)
    if count <= limit:
        return list(range(count))
    matches, scores = status.matches[rule], status.boxes.scores
    at = np.append(scores, -np.inf)[matches.found_by]
    lesions = np.diff(status.first_lesions)
    missed = np.repeat(np.arange(count), lesions)[at < score]
    false = status.boxes.image[matches.false_positive & (scores >= score)]
    errors = np.bincount(np.append(missed, false), minlength=count)
    return sorted(np.lexsort((-lesions, -errors))[:limit].tolist())


def _numbers(images: list[dict[str, Any]], key: str) -> dict[Any, int]:
    names = sorted({str(image[key]) for image in images if image.get(key) is not None})
    return {name: number for number, name in enumerate(names, start=1)}


def _label(image: dict[str, Any], patients: dict[Any, int], volumes: dict[Any, int]) -> str:
    parts = []
    if image.get("patient_id") is not None:
        parts.append(f"patient {patients[str(image['patient_id'])]}")
    if image.get("volume_id") is not None and len(volumes) != len(patients):
        parts.append(f"volume {volumes[str(image['volume_id'])]}")
    if image.get("slice_index") is not None:
        parts.append(f"slice {int(image['slice_index'])}")
    return ", ".join(parts) or "slice"


def _size(box: tuple[float, ...], axes: tuple[float, float] | None, spacing: Any) -> str | None:
    if axes:
        return f"{axes[0]:.0f} × {axes[1]:.0f} mm"
    if spacing:
        sides = sorted((box[2] * spacing[0], box[3] * spacing[1]), reverse=True)
        return f"{sides[0]:.0f} × {sides[1]:.0f} mm"
    return None


def _by_rule(marks: dict[Rule, Any]) -> dict[str, Any]:
    return {
        rule_id(rule): round(mark, 6) if isinstance(mark, float) else mark
        for rule, mark in marks.items()
    }


def _box(box: tuple[float, ...]) -> list[float]:
    return [round(float(side), 2) for side in box]


def _lesion(lesion: LesionStatus, size: tuple[int, int], spacing: Any) -> dict[str, Any]:
    return {
        "b": _box(lesion.box),
        "c": outline(decode_mask(lesion.segmentation, *size)),
        "f": _by_rule(lesion.found_at),
        "mm": _size(lesion.box, lesion.axes_mm, spacing),
    }


def _detection(detection: DetectionStatus, size: tuple[int, int], spacing: Any) -> dict[str, Any]:
    return {
        "b": _box(detection.box),
        "c": outline(decode_mask(detection.segmentation, *size)),
        "s": round(detection.score, 6),
        "t": _by_rule(detection.status),
        "o": round(detection.overlap, 3) if detection.overlap > 0 else None,
        "mm": _size(detection.box, None, spacing),
    }


def slice_data(
    status: TestSetStatus,
    image_root: Path,
    chosen: Sequence[int],
    *,
    max_side: int = 640,
    max_detections: int = MAX_DETECTIONS,
    progress: Callable[[Iterable], Iterable] = iter,
) -> tuple[list[dict[str, Any]], list[tuple[int, str]]]:
    """Return the slices for the browser and their images.

    Patients and volumes are numbered by this report: no name, path or identifier of the input is
    kept.

    Args:
        status: of all images; the numbers of patients and volumes come from these.
        image_root: `file_name` of the images is relative to it.
        chosen: places of the images to embed.
        max_side: pixels of the embedded images' longer side.
        max_detections: those of the highest score on each image are kept.
        progress: wraps the loop, e.g. `tqdm`.

    Returns:
        slices and `(number of the slice, base64 image)`.
    """
    patients, volumes = (_numbers(status.gt.images, key) for key in ("patient_id", "volume_id"))
    slices, embedded = [], []
    for number, item in enumerate(map(status.image, progress(chosen)), start=1):
        grey = slice_of(item.image, image_root)
        spacing = item.image.get("spacing_mm")
        kind, text = encode(grey, max_side=max_side)
        embedded.append((number, text))
        slices.append(
            {
                "n": number,
                "label": _label(item.image, patients, volumes),
                "w": grey.shape[1],
                "h": grey.shape[0],
                "ratio": round(float(spacing[1]) / float(spacing[0]), 6) if spacing else 1,
                "type": kind,
                "thumb": thumbnail(grey),
                "lesions": [_lesion(one, grey.shape, spacing) for one in item.lesions],
                "detections": [
                    _detection(one, grey.shape, spacing) for one in item.detections[:max_detections]
                ],
            }
        )
    return slices, embedded
