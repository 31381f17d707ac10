"""The data of the report's slice browser: slices, outlines and statuses, without identifiers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mmglan.evaluation.detection_status import (
    FALSE_POSITIVE,
    DetectionStatus,
    ImageStatus,
    LesionStatus,
    Rule,
)
from mmglan.reporting.page_tables import rule_id
from mmglan.reporting.slice_images import decode_mask, encode, outline, slice_of, thumbnail

MAX_DETECTIONS = 30


def totals(images: list[ImageStatus], rules: Iterable[Rule]) -> dict[str, Any]:
    """Return the scores from which the counts at any score threshold follow.

    Returns:
        By rule `{'found': [...], 'fp': [...]}`: the scores at which lesions are found first, and
        those of the false positives, both falling.
    """
    out = {}
    for rule in rules:
        found = [lesion.found_at[rule] for image in images for lesion in image.lesions]
        fp = [
            one.score
            for image in images
            for one in image.detections
            if one.status[rule] == FALSE_POSITIVE
        ]
        out[rule_id(rule)] = {
            "found": sorted((round(s, 6) for s in found if s is not None), reverse=True),
            "fp": sorted((round(s, 6) for s in fp), reverse=True),
        }
    return out


def choose(images: list[ImageStatus], limit: int, rule: Rule, score: float) -> list[ImageStatus]:
    """Return at most `limit` images: most missed lesions and false positives first, then by id.

    Args:
        images: all images.
        limit: how many.
        rule: matching rule at which errors count.
        score: score threshold at which errors count.

    Returns:
        The chosen images in the order given.
    """
    if len(images) <= limit:
        return images

    def errors(image: ImageStatus) -> int:
        found = [lesion.found_at[rule] for lesion in image.lesions]
        missed = sum(at is None or at < score for at in found)
        false = [
            one.status[rule] == FALSE_POSITIVE for one in image.detections if one.score >= score
        ]
        return missed + sum(false)

    rank = sorted(
        range(len(images)), key=lambda i: (-errors(images[i]), -len(images[i].lesions), i)
    )
    return [images[index] for index in sorted(rank[:limit])]


def _numbers(images: list[ImageStatus], key: str) -> dict[Any, int]:
    names = sorted({str(one.image[key]) for one in images if one.image.get(key) is not None})
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
    images: list[ImageStatus],
    image_root: Path,
    *,
    chosen: list[ImageStatus] | None = None,
    max_side: int = 640,
    max_detections: int = MAX_DETECTIONS,
    progress: Callable[[Iterable], Iterable] = iter,
) -> tuple[list[dict[str, Any]], list[tuple[int, str]]]:
    """Return the slices for the browser and their images.

    Patients and volumes are numbered by this report: no name, path or identifier of the input is
    kept.

    Args:
        images: all images; the numbers of patients and volumes come from these.
        image_root: `file_name` of the images is relative to it.
        chosen: the images to embed (default all).
        max_side: pixels of the embedded images' longer side.
        max_detections: those of the highest score on each image are kept.
        progress: wraps the loop, e.g. `tqdm`.

    Returns:
        slices and `(number of the slice, base64 image)`.
    """
    patients, volumes = _numbers(images, "patient_id"), _numbers(images, "volume_id")
    slices, embedded = [], []
    for number, item in enumerate(progress(images if chosen is None else chosen), start=1):
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
