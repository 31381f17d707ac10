"""Named protocols: everything that must be fixed for a FROC figure to be comparable."""

from __future__ import annotations

from dataclasses import dataclass

FROC_FPS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
SEN_FP = 5.0
RECALL_FPS = (5.85, 9.0)


@dataclass(frozen=True)
class Criterion:
    """When a prediction finds a lesion: `overlap` of at least `threshold`.

    `overlap` is a kind of `mmglan.evaluation.overlaps.box_pairs`; the two centre rules have no
    threshold of their own and use 1.
    """

    overlap: str
    threshold: float = 1.0

    @property
    def rule(self) -> str:
        """Suffix where the rule is not IoU: `_IoBB`, `_IoGT`, `_radius`, `_centre`."""
        names = {"iou": "", "iobb": "_IoBB", "iogt": "_IoGT"}
        return names.get(self.overlap, f"_{self.overlap}")

    @property
    def label(self) -> str:
        """Suffix in the names of figures: `25` for IoU 0.25, `_IoBB30` for IoBB 0.3, `_centre`."""
        percent = f"{round(self.threshold * 100):02d}"
        return self.rule if self.overlap in ("radius", "centre") else self.rule + percent


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
        in_mm: Boxes are scaled to millimetres first (needs the spacing).
    """

    name: str
    criteria_2d: tuple[Criterion, ...]
    criteria_3d: tuple[Criterion, ...]
    assignment: str = "every"
    duplicates: str = "ignore"
    interpolation: str = "linear"
    in_mm: bool = False

    def criteria(self, dims: int) -> tuple[Criterion, ...]:
        """Criteria for 2 or 3 dimensions."""
        return self.criteria_3d if dims == 3 else self.criteria_2d


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
    """Looks a preset up by name."""
    if isinstance(name, Protocol):
        return name
    if name not in PROTOCOLS:
        raise ValueError(f"Expected protocol to be one of {', '.join(PROTOCOLS)} but got {name!r}")
    return PROTOCOLS[name]
