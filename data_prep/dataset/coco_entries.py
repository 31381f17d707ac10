"""COCO JSON: the entries of images, lesions and volumes.

Boxes are COCO's: pixel *i* covers [i, i + 1), so a mask of columns 3…5 has x = 3 and width = 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as rle

from data_prep.bookmarks import recist
from data_prep.dataset.one_volume.volume_result import Lesion3D
from data_prep.volumes.labelled_voxels import LabelledVoxels, labelled_voxels

# Pixel values of the slices that stand for black and white.
VALUE_RANGE = (0, 65535)
DESCRIPTION = "abnormal lymph nodes, RECIST bookmarks"
ONE_CLASS = ("lesion",)


def empty(classes: Sequence[str] = ONE_CLASS, normalize: str | None = None) -> dict[str, Any]:
    """Return a data set of no images, with categories 1, 2, … and what its slices show."""
    info = {"description": DESCRIPTION, "value_range": list(VALUE_RANGE)}
    return {
        "info": info if normalize is None else info | {"normalize": normalize},
        "images": [],
        "annotations": [],
        "categories": [
            {"id": i, "name": name, "supercategory": "lesion"}
            for i, name in enumerate(classes, start=1)
        ],
    }


def file_name(volume_id: str, slice_index: int) -> str:
    """Return the path of a slice below `images/`; the name alone is unique too."""
    return f"{volume_id}/{volume_id}_{slice_index:04d}.png"


def neighbour_names(volume_id: str, slice_index: int, context: int, depth: int) -> list[str]:
    """Name the files of the slices −k…−1, +1…+k; beyond the ends the first or last slice again."""
    offsets = [*range(-context, 0), *range(1, context + 1)]
    return [file_name(volume_id, min(max(slice_index + o, 0), depth - 1)) for o in offsets]


def mask_fields(mask: np.ndarray) -> dict[str, Any]:
    """Return `segmentation` (compressed RLE), `bbox` and `area` of a mask.

    Args:
        mask: Bool `(H, W)`, at least one pixel.
    """
    encoded = rle.encode(np.asfortranarray(mask, dtype=bool).view(np.uint8))
    return {
        "segmentation": {
            "size": [int(n) for n in encoded["size"]],
            "counts": encoded["counts"].decode("ascii"),
        },
        "bbox": rle.toBbox(encoded).tolist(),
        "area": int(rle.area(encoded)),
    }


def decode(segmentation: Mapping[str, Any]) -> np.ndarray:
    """Decode the bool mask `(H, W)` of an annotation's `segmentation`."""
    return rle.decode(dict(segmentation)).astype(bool)


def bookmark_fields(bookmark: recist.Bookmark, spacing_xy: Sequence[float]) -> dict[str, Any]:
    """Return `recist` (eight numbers, pixels) and the lengths of both axes in mm."""
    return {
        "recist": [round(v, 4) for v in bookmark.points().ravel().tolist()],
        "long_axis_mm": round(bookmark.long_length(spacing_xy), 4),
        "short_axis_mm": round(bookmark.short_length(spacing_xy), 4),
    }


def measured_fields(mask: np.ndarray, spacing_xy: Sequence[float]) -> dict[str, Any]:
    """Return `mask_fields`, and `bookmark_fields` of the axes measured on the mask."""
    measured = recist.measure(mask, spacing_xy)
    return mask_fields(mask) | bookmark_fields(measured, spacing_xy)


def without_mask(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the "w/o pseudo mask" form of an annotation: the RECIST box and no segmentation.

    Of a region to ignore, its box. A RECIST box whose end points lie beyond the centres of the
    outermost pixels is cut to the image.
    """
    if "recist" not in annotation:
        return {k: v for k, v in annotation.items() if k != "segmentation"}
    points = np.reshape(annotation["recist"], (4, 2))
    x, y, width, height = recist.Bookmark(points[:2], points[2:]).coco_box()
    rows, columns = annotation["segmentation"]["size"]
    width -= max(-x, 0.0) + max(x + width - columns, 0.0)
    height -= max(-y, 0.0) + max(y + height - rows, 0.0)
    box = (max(x, 0.0), max(y, 0.0), width, height)
    kept = {k: v for k, v in annotation.items() if k not in ("segmentation", "mask_source")}
    return kept | {"bbox": list(box), "area": float(box[2] * box[3])}


def lesions_3d(
    labels: np.ndarray, spacing_mm: Sequence[float], voxels: LabelledVoxels | None = None
) -> list[Lesion3D]:
    """Measure boxes and axes of all lesions of a volume.

    Args:
        labels: `(Z, Y, X)`, 0 background, one label per lesion.
        spacing_mm: (x, y, z).
        voxels: Those of `labels`, if they are known.

    Returns:
        One per label, in the order of the labels.
    """
    voxels = voxels or labelled_voxels(labels)
    found = []
    for label, (x0, y0, z0, x1, y1, z1) in zip(voxels.labels, voxels.boxes.tolist(), strict=True):
        part = labels[z0:z1, y0:y1, x0:x1] == label
        best = None
        for z in np.flatnonzero(part.any(axis=(1, 2))):
            axes = bookmark_fields(recist.measure(part[z], spacing_mm[:2]), spacing_mm[:2])
            if best is None or axes["long_axis_mm"] > best[1]["long_axis_mm"]:
                best = int(z) + z0, axes
        found.append(
            Lesion3D(
                label=int(label),
                box3d=[x0, y0, z0, x1 - 1, y1 - 1, z1 - 1],
                key_slice=best[0],
                long_axis_mm=best[1]["long_axis_mm"],
                short_axis_mm=best[1]["short_axis_mm"],
            )
        )
    return found
