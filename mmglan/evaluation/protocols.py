"""Named protocols: everything that must be fixed for a FROC metric to be comparable.

What all presets share. All images (volumes) of the test set count in the average of false
positives, those without lesions and those without predictions included. Predictions are taken by
falling score; equal scores pass a threshold together. Nothing is cut by score before. A lesion
counts once. Operating points are 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives per image; their
mean is the FROC score; SEN is the sensitivity at 5. Below the first point of a curve the
sensitivity is 0, beyond its last point it stays.

`deeplesion` - Yan et al. 2018 and 2020, and the paper that this package implements.
    2D: a prediction finds every lesion with which its IoU is at least 0.25 (0.50). One that
    reaches no lesion is a false positive. One that reaches only lesions found before is neither.
    3D: the same with intersection over the prediction's box (IoBB) of at least 0.3, and with IoU
    of at least 0.25 and 0.50. Linear interpolation. Boxes given as voxel indices are inclusive.

`picai` - PI-CAI, Saha et al. 2024.
    IoU of at least 0.10. One to one within an image, the assignment with the greatest sum of
    1 + IoU over its pairs, whatever the scores, as in the challenge's evaluator (picai_eval): one
    more lesion found outweighs a better overlap. A prediction that is left over but reaches a
    lesion is neither true nor false. No interpolation: the last point that does not exceed the
    false positives asked for. AP at IoU 0.10 has the same matches: the sum over distinct scores
    of the gain in recall times the precision.

`luna` - LUNA16, Setio et al. 2017.
    A prediction finds every lesion whose centre is at most the lesion's radius away from its own
    centre, in mm; the radius is half the longest side of the lesion's box. Further predictions on
    a found lesion are neither. Linear interpolation. A prediction within the radius of a finding to
    ignore is no false positive; the challenge has a list of these (`ignore`).

`centre-in-box` - as in many tools for reading rooms.
    A prediction finds every lesion in whose box its centre lies, border included. Further
    predictions on a found lesion are neither. Linear interpolation.

Examples:
    One image, two lesions 10 wide, side by side with a gap of 2. Predictions: the first lesion
    moved by 4 (IoU 6/14 = 0.43, 0.9); both lesions in one box (IoU 10/22 = 0.45 with either,
    0.8); the second lesion moved by 7 (IoU 3/17 = 0.18, 0.7); far away (0.6).

    >>> from mmglan.evaluation.froc import froc_by_protocol
    >>> lesions = [[0, 0, 10, 10], [12, 0, 22, 10]]
    >>> found = [[4, 0, 14, 10, 0.9], [0, 0, 22, 10, 0.8], [19, 0, 29, 10, 0.7]]
    >>> found += [[50, 0, 60, 10, 0.6]]
    >>> def show(name):
    ...     for criterion, curve in froc_by_protocol([found], [lesions], name).items():
    ...         print(criterion.label, curve.sensitivity.tolist(), curve.fp.tolist())

    IoU 0.25: the first finds lesion 1 (with lesion 2 its IoU is 2/18), the second lesion 2; the
    third reaches nothing. IoU 0.50: nothing is found.

    >>> show('deeplesion')
    25 [0.5, 1.0, 1.0, 1.0] [0.0, 0.0, 1.0, 2.0]
    50 [0.0, 0.0, 0.0, 0.0] [1.0, 2.0, 3.0, 4.0]

    IoU 0.10, one to one: two pairs at most; first to lesion 1, second to lesion 2 have the
    greatest sum; the third reaches lesion 2 but is left over, so it is neither.

    >>> show('picai')
    10 [0.5, 1.0, 1.0, 1.0] [0.0, 0.0, 0.0, 1.0]

    Radius 5: the first centre is 4 from lesion 1; the second 6 from both, a false positive; the
    third 7 from lesion 2, a false positive.

    >>> show('luna')
    _radius [0.5, 0.5, 0.5, 0.5] [0.0, 1.0, 2.0, 3.0]

    Centres at x = 9 (in lesion 1), 11 (in the gap), 24 and 55 (in none).

    >>> show('centre-in-box')
    _centre [0.5, 0.5, 0.5, 0.5] [0.0, 1.0, 2.0, 3.0]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

FROC_FPS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
SEN_FP = 5.0
RECALL_FPS = (5.85, 9.0)


@dataclass(frozen=True)
class Criterion:
    """When a prediction finds a lesion: `overlap` of at least `threshold`.

    `overlap` is a kind of `mmglan.detections.box_overlaps.box_pairs`; the two centre rules have no
    threshold of their own and use 1.
    """

    overlap: Literal["iou", "iobb", "iogt", "radius", "centre"]
    threshold: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0

    @property
    def rule(self) -> str:
        """Suffix where the rule is not IoU: `_IoBB`, `_IoGT`, `_radius`, `_centre`."""
        names = {"iou": "", "iobb": "_IoBB", "iogt": "_IoGT"}
        return names.get(self.overlap, f"_{self.overlap}")

    @property
    def label(self) -> str:
        """Suffix in the names of metrics: `25` for IoU 0.25, `_IoBB30` for IoBB 0.3, `_centre`."""
        percent = f"{round(self.threshold * 100):02d}"
        return self.rule if self.overlap in ("radius", "centre") else self.rule + percent

    @property
    def words(self) -> str:
        """The rule in words: `IoU 0.25`, `centre in the lesion's box`."""
        if self.overlap == "centre":
            return "centre in the lesion's box"
        if self.overlap == "radius":
            return "centre within the lesion's radius"
        names = {"iou": "IoU", "iobb": "IoBB", "iogt": "IoGT"}
        return f"{names[self.overlap]} {self.threshold:.2f}"


@dataclass(frozen=True)
class Protocol:
    """A whole protocol.

    Attributes:
        name: Name of the preset.
        criteria_2d: Criteria for boxes and masks on images.
        criteria_3d: Criteria in volumes.
        assignment: See `mmglan.evaluation.matching.match`.
        duplicates: See `mmglan.evaluation.matching.match`.
        interpolation: See `FROCCurve.at`.
        average_precision: `'coco'`: COCO's matches and 101 recalls; `'step'`: AP of the protocol's
            own criteria is the area under the steps of its own matches, as in picai_eval.
        in_mm: Boxes are scaled to millimetres first (needs the spacing).
    """

    name: str
    criteria_2d: tuple[Criterion, ...]
    criteria_3d: tuple[Criterion, ...]
    assignment: Literal["every", "greedy", "optimal"] = "every"
    duplicates: Literal["ignore", "fp"] = "ignore"
    interpolation: Literal["linear", "step"] = "linear"
    average_precision: Literal["coco", "step"] = "coco"
    in_mm: bool = False

    def criteria(self, dims: int) -> tuple[Criterion, ...]:
        """Return the criteria for 2 or 3 dimensions."""
        return self.criteria_3d if dims == 3 else self.criteria_2d

    def ignore_overlap(self, dims: int) -> str:
        """Return the kind of overlap that puts a prediction on a region to ignore.

        A centre rule where all criteria are that rule, as in LUNA16; else the share of the
        prediction inside the region, as in COCO.
        """
        kinds = {criterion.overlap for criterion in self.criteria(dims)}
        return kinds.pop() if kinds in ({"radius"}, {"centre"}) else "iobb"


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "deeplesion",
            criteria_2d=(Criterion("iou", 0.25), Criterion("iou", 0.5)),
            criteria_3d=(Criterion("iobb", 0.3), Criterion("iou", 0.25), Criterion("iou", 0.5)),
        ),
        Protocol(
            "picai",
            criteria_2d=(Criterion("iou", 0.1),),
            criteria_3d=(Criterion("iou", 0.1),),
            assignment="optimal",
            interpolation="step",
            average_precision="step",
        ),
        Protocol(
            "luna",
            criteria_2d=(Criterion("radius"),),
            criteria_3d=(Criterion("radius"),),
            in_mm=True,
        ),
        Protocol(
            "centre-in-box",
            criteria_2d=(Criterion("centre"),),
            criteria_3d=(Criterion("centre"),),
        ),
    )
}


def get_protocol(name: str | Protocol) -> Protocol:
    """Look a preset up by name."""
    if isinstance(name, Protocol):
        return name
    if name not in PROTOCOLS:
        raise ValueError(f"Expected protocol to be one of {', '.join(PROTOCOLS)} but got {name!r}")
    return PROTOCOLS[name]
