"""Scores of pseudo masks: per lesion and method, then means with confidence intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from data_prep.bookmarks.recist import Bookmark
from data_prep.pseudo_masks import mask_metrics
from data_prep.pseudo_masks.cases import Case, mask_box
from data_prep.pseudo_masks.clustered_mean import clustered_mean
from data_prep.pseudo_masks.methods import ITERATING, pseudo_mask

METRICS = ("dsc", "asd_mm", "iou")
# Upper bounds of the short axis for the groups by size, mm.
SIZES_MM = (10.0, 20.0, float("inf"))


def box_iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Compute the intersection over union of two boxes (x1, y1, x2, y2); 0 if both are empty."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0.0) * max(height, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
    return common / union if union > 0 else 0.0


def score(case: Case, method: str, iterations: int | None = None) -> dict[str, Any]:
    """Score the mask of one method on one lesion: a row of the table.

    `dsc` and `asd_mm` are None without a voxel mask. `iou` compares boxes: the RECIST box with
    its own bounds for `box`, the box of the mask for all others.
    """
    given = {"iterations": iterations} if method in ITERATING else {}
    made = pseudo_mask(case.image, case.bookmark, method, spacing_xy=case.spacing_mm, **given)
    if method == "box":
        x, y, width, height = case.bookmark.coco_box()
        box = (x, y, x + width, y + height)
    else:
        box = mask_box(made.mask)
    known = {
        "volume": case.volume,
        "slice": case.slice_index,
        "label": case.label,
        "part": case.part,
        "cluster": case.cluster,
    }
    return lesion_row(
        known,
        method,
        made.source,
        made.mask,
        box,
        case.gt_mask,
        case.box,
        case.bookmark,
        case.spacing_mm,
    )


def lesion_row(
    known: Mapping[str, Any],
    method: str,
    source: str,
    mask: np.ndarray,
    box: Sequence[float],
    gt_mask: np.ndarray | None,
    gt_box: Sequence[float],
    bookmark: Bookmark,
    spacing_mm: Sequence[float],
) -> dict[str, Any]:
    """Compare one mask `(H, W)` and box (x1, y1, x2, y2) with the lesion's: a row of the table."""
    row = {
        **known,
        "mask_method": method,
        "source": source,
        "long_mm": round(bookmark.long_length(spacing_mm), 3),
        "short_mm": round(bookmark.short_length(spacing_mm), 3),
        "dsc": None,
        "asd_mm": None,
        "iou": box_iou(box, gt_box),
    }
    if gt_mask is not None:
        row["dsc"] = mask_metrics.dice(mask, gt_mask)
        row["asd_mm"] = mask_metrics.average_surface_distance(mask, gt_mask, spacing_mm)
    return row


def groups(rows: Iterable[dict[str, Any]], instances: bool) -> dict[str, list[dict[str, Any]]]:
    """Group rows: `all`, by size, and by structure unless labels number single lesions."""
    found: dict[str, list[dict[str, Any]]] = {"all": []}
    low = 0.0
    sizes = []
    for high in SIZES_MM:
        name = (
            f"short axis {low:g}-{high:g} mm" if np.isfinite(high) else f"short axis > {low:g} mm"
        )
        sizes.append((high, name))
        found[name] = []
        low = high
    for row in sorted(rows, key=lambda r: r["label"]):
        found["all"].append(row)
        found[next(name for high, name in sizes if row["short_mm"] <= high)].append(row)
        if not instances:
            found.setdefault(f"structure {row['label']}", []).append(row)
    return {name: members for name, members in found.items() if members}


def summarize(
    rows: Sequence[dict[str, Any]], *, clusters: str, level: float, n_resamples: int
) -> list[dict[str, Any]]:
    """Compute means and intervals of one group, a row per method.

    ASD is averaged over lesions whose mask is not empty; `n_empty` counts the others.
    `first_minus` is the paired difference of the mean DSC (IoU where there is no DSC) of the first
    method to this one.

    Args:
        rows: of `score`, those of the first method first.
        clusters: column whose values are resampled together.
        level, n_resamples: see `data_prep.pseudo_masks.clustered_mean.clustered_mean`.
    """
    options = {"level": level, "n_resamples": n_resamples}
    by_method: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_method.setdefault(row["mask_method"], []).append(row)
    reference = {row_key(row): row for row in next(iter(by_method.values()))}
    table = []
    for method, members in by_method.items():
        entry: dict[str, Any] = {"mask_method": method, "n": len(members)}
        entry["n_clusters"] = len({row[clusters] for row in members})
        entry["n_empty"] = sum(row["asd_mm"] == float("inf") for row in members)
        entry["n_replaced"] = sum(row["source"].startswith("ellipse:") for row in members)
        for metric in METRICS:
            valid = [r for r in members if r[metric] is not None and np.isfinite(r[metric])]
            found = clustered_mean(
                [r[metric] for r in valid], [r[clusters] for r in valid], **options
            )
            entry |= dict(zip((metric, f"{metric}_low", f"{metric}_high"), found, strict=True))
        metric = "iou" if members[0]["dsc"] is None else "dsc"
        paired = [(r, reference[row_key(r)]) for r in members if row_key(r) in reference]
        found = clustered_mean(
            [b[metric] - r[metric] for r, b in paired], [r[clusters] for r, _ in paired], **options
        )
        names = ("first_minus", "first_minus_low", "first_minus_high")
        table.append(entry | dict(zip(names, found, strict=True)))
    return table


def row_key(row: dict[str, Any]) -> tuple:
    """Return what names the lesion of a row."""
    return (row["volume"], row["slice"], row["label"], row["part"])
