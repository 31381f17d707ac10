"""From a metric's key to words, and from a fraction to percent."""

from __future__ import annotations

import math
import re
from typing import Any

KINDS = {"bbox": "Boxes", "segm": "Masks", "bbox3d": "3D boxes", "segm3d": "3D masks"}
_WHERE = r"(\d{2}|_[A-Za-z]+\d*)"
_PATTERNS = (
    (re.compile(r"mAP()"), "COCO mAP, IoU 0.50 to 0.95"),
    (re.compile(rf"AP{_WHERE}"), "AP at {0}"),
    (re.compile(rf"volumeSEN{_WHERE}"), "Volumes with a lesion found at 5 FP, {0}"),
    (re.compile(rf"SEN{_WHERE}"), "Sensitivity at 5 FP per {unit}, {0}"),
    (re.compile(rf"FROC{_WHERE}_fp([\d.]+)"), "Sensitivity at {1} FP per {unit}, {0}"),
    (re.compile(rf"FROC{_WHERE}_mean"), "Mean sensitivity at 0.125 to 8 FP, {0}"),
    (re.compile(rf"recall{_WHERE}_fp([\d.]+)"), "Recall at {1} FP per {unit}, {0}"),
    (re.compile(rf"mRecall{_WHERE}"), "Mean recall at precision 0.10 to 0.50, {0}"),
)


_RULES = {
    "": "IoU",
    "IoBB": "IoBB",
    "IoGT": "IoGT",
    "centre": "centre in the lesion's box",
    "radius": "centre within the lesion's radius",
}


def criterion(text: str) -> str:
    """Words for the matching rule in a figure's name: `25`, `_IoBB30` or `_centre`."""
    found = re.fullmatch(r"_?([A-Za-z]*)(\d{2})?", text)
    if not found or found[1] not in _RULES:
        return text.strip("_")
    return _RULES[found[1]] + (f" {int(found[2]) / 100:.2f}" if found[2] else "")


def curve_name(kind: str, threshold: str) -> str:
    """Words for a FROC curve: `('bbox3d_IoBB', '0.30')` -> '3D boxes, IoBB 0.30'."""
    base, _, rule = kind.partition("_")
    words_of_rule = _RULES.get(rule, rule)
    if rule not in ("centre", "radius"):
        words_of_rule += f" {float(threshold):.2f}"
    return f"{KINDS.get(base, base)}, {words_of_rule}"


def split_key(key: str) -> tuple[str, str]:
    """`'lesion/bbox_AP25'` -> `('bbox', 'AP25')`; the kind is '' where the key names none."""
    short = key.rsplit("/", 1)[-1]
    kind, _, rest = short.partition("_")
    return (kind, rest) if kind in KINDS and rest else ("", short)


def words(name: str, kind: str = "") -> str:
    """`'SEN25'` -> 'Sensitivity at 5 FP per image, IoU 0.25'; an unknown name as it is."""
    for pattern, text in _PATTERNS:
        found = pattern.fullmatch(name)
        if found:
            where, *rest = found.groups()
            unit = "volume" if kind.endswith("3d") else "image"
            return text.format(criterion(where) if where else "", *rest, unit=unit)
    return name.replace("_", " ")


def order(key: str) -> tuple[Any, ...]:
    """Sort key: boxes before masks, then the kinds of figures, then the numbers in them by size."""
    kind, name = split_key(key)
    families = ("AP", "mAP", "SEN", "volumeSEN", "FROC", "recall", "mRecall")
    family = re.match(r"[A-Za-z]+", name)
    place = families.index(family[0]) if family and family[0] in families else len(families)
    numbers = tuple(float(part) for part in re.findall(r"\d+(?:\.\d+)?", name))
    first = list(KINDS).index(kind) if kind else len(KINDS)
    return (first, place, "fp" not in name, numbers, name)


def number(value: Any) -> float | None:
    """The value as a float; None for nothing, not-a-number, infinity and -1 ('no lesions')."""
    if value is None or isinstance(value, bool):
        return None
    value = float(value)
    return value if math.isfinite(value) and value >= 0 else None


def percent(value: Any, digits: int = 2) -> str:
    """Fraction as percent text; an en dash where there is none."""
    value = number(value)
    return "–" if value is None else f"{100 * value:.{digits}f}"


def interval(record: Any, digits: int = 1) -> str:
    """An interval record as '61.2 – 78.9'; '' where there is none."""
    if not isinstance(record, dict):
        return ""
    low, high = number(record.get("low")), number(record.get("high"))
    if low is None or high is None:
        return ""
    return f"{percent(low, digits)} – {percent(high, digits)}"


def plain(metrics: dict[str, Any]) -> dict[str, Any]:
    """A dictionary keyed by metric with the part before '/' of its keys taken off."""
    return {key.rsplit("/", 1)[-1]: value for key, value in metrics.items()}
