"""The data of the report's case browser: slices, outlines and statuses, without identifiers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mmglan.reporting.findings import ImageFindings, Prediction, Truth
from mmglan.reporting.slice_images import decode_mask, encode, outline, slice_of, thumbnail

MAX_PREDICTIONS = 30


def totals(findings: list[ImageFindings], thresholds: Iterable[float]) -> dict[str, Any]:
    """Scores from which any score threshold's counts follow.

    Returns:
        IoU threshold (as text) -> `{'found': [...], 'fp': [...]}`: the scores at which lesions
        are found first, and those of the false positives, both falling.
    """
    out = {}
    for threshold in thresholds:
        found = [t.found_at[threshold] for image in findings for t in image.lesions]
        fp = [
            p.score for image in findings for p in image.predictions if p.status[threshold] == "fp"
        ]
        out[f"{threshold:g}"] = {
            "found": sorted((round(s, 6) for s in found if s is not None), reverse=True),
            "fp": sorted((round(s, 6) for s in fp), reverse=True),
        }
    return out


def choose(
    findings: list[ImageFindings], limit: int, threshold: float, score: float
) -> list[ImageFindings]:
    """At most `limit` images: those with most misses and false alarms first, then by image id.

    Args:
        findings: all images.
        limit: how many.
        threshold: IoU threshold at which errors count.
        score: score threshold at which errors count.

    Returns:
        The chosen images in the order given.
    """
    if len(findings) <= limit:
        return findings

    def errors(image: ImageFindings) -> int:
        missed = sum((t.found_at[threshold] or -1) < score for t in image.lesions)
        alarms = sum(p.score >= score and p.status[threshold] == "fp" for p in image.predictions)
        return missed + alarms

    rank = sorted(
        range(len(findings)),
        key=lambda i: (-errors(findings[i]), -len(findings[i].lesions), i),
    )
    return [findings[index] for index in sorted(rank[:limit])]


def _numbers(findings: list[ImageFindings], key: str) -> dict[Any, int]:
    names = sorted({str(f.image[key]) for f in findings if f.image.get(key) is not None})
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


def _statuses(marks: dict[float, Any]) -> dict[str, Any]:
    return {
        f"{threshold:g}": round(mark, 6) if isinstance(mark, float) else mark
        for threshold, mark in marks.items()
    }


def _box(box: tuple[float, ...]) -> list[float]:
    return [round(float(side), 2) for side in box]


def _truth(truth: Truth, size: tuple[int, int], spacing: Any) -> dict[str, Any]:
    return {
        "b": _box(truth.box),
        "c": outline(decode_mask(truth.segmentation, *size)),
        "f": _statuses(truth.found_at),
        "mm": _size(truth.box, truth.axes_mm, spacing),
    }


def _prediction(prediction: Prediction, size: tuple[int, int], spacing: Any) -> dict[str, Any]:
    return {
        "b": _box(prediction.box),
        "c": outline(decode_mask(prediction.segmentation, *size)),
        "s": round(prediction.score, 6),
        "t": _statuses(prediction.status),
        "o": round(prediction.overlap, 3) if prediction.overlap > 0 else None,
        "mm": _size(prediction.box, None, spacing),
    }


def case_data(
    findings: list[ImageFindings],
    image_root: Path,
    *,
    chosen: list[ImageFindings] | None = None,
    max_side: int = 640,
    max_predictions: int = MAX_PREDICTIONS,
    progress: Callable[[Iterable], Iterable] = iter,
) -> tuple[list[dict[str, Any]], list[tuple[int, str]]]:
    """DetectionSet for the browser and their pictures.

    Patients and volumes are numbered by this report: no name, path or identifier of the input is
    kept.

    Args:
        findings: all images; the numbers of patients and volumes come from these.
        image_root: `file_name` of the images is relative to it.
        chosen: the images to embed (default all).
        max_side: pixels of the embedded pictures' longer side.
        max_predictions: the best ones of each image are kept.
        progress: wraps the loop, e.g. `tqdm`.

    Returns:
        cases and `(case number, base64 picture)`.
    """
    patients, volumes = _numbers(findings, "patient_id"), _numbers(findings, "volume_id")
    cases, pictures = [], []
    for number, item in enumerate(progress(findings if chosen is None else chosen), start=1):
        picture = slice_of(item.image, image_root)
        height, width = picture.shape
        spacing = item.image.get("spacing_mm")
        kind, text = encode(picture, max_side=max_side)
        pictures.append((number, text))
        cases.append(
            {
                "n": number,
                "label": _label(item.image, patients, volumes),
                "w": width,
                "h": height,
                "ratio": round(float(spacing[1]) / float(spacing[0]), 6) if spacing else 1,
                "type": kind,
                "thumb": thumbnail(picture),
                "lesions": [_truth(t, (height, width), spacing) for t in item.lesions],
                "preds": [
                    _prediction(p, (height, width), spacing)
                    for p in item.predictions[:max_predictions]
                ],
            }
        )
    return cases, pictures
