"""The page and the table of a comparison of two studies."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import cv2
import numpy as np

from data_prep import overlay
from data_prep.bookmarks.recist import Bookmark
from data_prep.volumes.volume import Volume
from mmglan.review.followup import Change, Followup, Rules
from mmglan.review.reader_agreement import Cross
from mmglan.review.registration import RigidMotion
from mmglan.review.study_page import render

COLUMNS = (
    *("lesion", "status", "target"),
    *("earlier_short_mm", "later_short_mm", "change_mm", "change_percent"),
    *("earlier_long_mm", "later_long_mm"),
    *(f"{study}_{c}_mm" for study in ("earlier", "later") for c in "xyz"),
)
CROP_MM, PICTURE = 80.0, 220


def rows(found: Followup) -> Iterator[list]:
    """Yield the cells of `COLUMNS` of each lesion."""
    for number, change in enumerate(found.changes, start=1):
        before, after = change.sizes_mm
        both = change.earlier is not None and change.later is not None
        yield [
            number,
            change.status,
            int(change.target),
            *(_cell(one, "short_mm") for one in (change.earlier, change.later)),
            round(after - before, 2) + 0.0 if both else "",  # no -0.0
            round(100 * (after - before) / before, 1) + 0.0 if both and before else "",
            *(_cell(one, "long_mm") for one in (change.earlier, change.later)),
            *_place(change.earlier),
            *_place(change.later),
        ]


def _cell(cross: Cross | None, name: str) -> float | str:
    return "" if cross is None else round(getattr(cross, name), 2)


def _place(cross: Cross | None) -> list:
    return ["", "", ""] if cross is None else [round(float(v), 2) for v in cross.centre]


def build_followup_page(
    found: Followup, earlier: Volume, later: Volume, motion: RigidMotion, rules: Rules
) -> str:
    """Build the page: the sum of the targets, and each lesion with its slice in both studies.

    Where a lesion is in one study only, the other picture shows the same place of the patient.
    """
    inverse = RigidMotion(motion.matrix.T, -motion.matrix.T @ motion.shift, motion.how)
    lesions = [
        {
            "cells": row,
            "earlier": _picture(earlier, change.earlier, _centre(change, inverse)),
            "later": _picture(later, change.later, _other_centre(change, motion)),
        }
        for row, change in zip(rows(found), found.changes, strict=True)
    ]
    return render(
        "followup.html",
        lesions=lesions,
        columns=COLUMNS,
        sums=found.sums_mm,
        percent=found.sum_change_percent,
        targets=sum(change.target for change in found.changes),
        motion=motion,
        shift=float(np.linalg.norm(motion(_middle(earlier)[None])[0] - _middle(earlier))),
        rules=rules,
    )


def _centre(change: Change, inverse: RigidMotion) -> np.ndarray:
    one = change.earlier
    return one.centre if one is not None else inverse(change.later.centre[None])[0]


def _other_centre(change: Change, motion: RigidMotion) -> np.ndarray:
    one = change.later
    return one.centre if one is not None else motion(change.earlier.centre[None])[0]


def _middle(volume: Volume) -> np.ndarray:
    """Return the middle of a volume in mm."""
    last = np.array(volume.array.shape[::-1]) - 1
    return volume.to_patient_mm(last[None] / 2)[0]


def _picture(volume: Volume, cross: Cross | None, centre: np.ndarray) -> str | None:
    """Return the slice around a place as a data URI; None if it lies outside of the volume."""
    x, y, z = volume.from_patient_mm(centre[None])[0]
    depth, height, width = volume.array.shape
    if not (-0.5 <= z < depth - 0.5 and 0 <= x < width and 0 <= y < height):
        return None
    image = volume.array[int(np.floor(z + 0.5))].astype(np.float32)
    low, high = np.percentile(image, [0.5, 99.5])
    grey = np.clip((image - low) * (255 / max(high - low, 1e-6)), 0, 255).astype(np.uint8)
    spacing = np.array(volume.spacing_mm[:2])
    # Square pixels, so that the picture is not stretched; the crop is centred on the place.
    scale = PICTURE / CROP_MM * spacing
    move = np.array([PICTURE / 2, PICTURE / 2]) - scale * (x, y)
    matrix = np.array([[scale[0], 0, move[0]], [0, scale[1], move[1]]])
    crop = cv2.warpAffine(grey, matrix, (PICTURE, PICTURE), flags=cv2.INTER_LINEAR)
    marks = []
    if cross is not None:
        ends = volume.from_patient_mm(cross.points)[:, :2] * scale + move
        marks.append(Bookmark(ends[:2], ends[2:]))
    drawn = overlay.draw(crop, bookmarks=marks)
    _, data = cv2.imencode(".png", drawn[:, :, ::-1])
    return "data:image/png;base64," + base64.b64encode(data.tobytes()).decode("ascii")
