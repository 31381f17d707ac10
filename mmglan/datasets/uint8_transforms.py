"""Transforms of MMDetection that know 8-bit pixels only, found before they meet a slice of floats.

On floats three of them fail without a reason, and the fourth makes values from -2800 to 255.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

UINT8_ONLY = ("Albu", "AutoContrast", "Equalize", "Posterize", "YOLOXHSVRandomAug")


def check_pipeline(*pipelines: Any) -> None:
    """Refuse transforms that need 8-bit pixels where `LoadSlice` gives floats.

    Args:
        *pipelines: What a slice goes through: transforms, and those that hold others.

    Raises:
        ValueError: The transform, and the option of `LoadSlice` with which it works.
    """
    steps = [step for pipeline in pipelines for step in walk(pipeline)]
    names = [type(step).__name__ for step in steps]
    floats = any(getattr(step, "to_uint8", None) is False for step in steps)
    if floats and (found := next((name for name in names if name in UINT8_ONLY), None)):
        raise ValueError(
            f"{found}: Expected 8-bit pixels but LoadSlice gives floats. Set "
            "dict(type='LoadSlice', to_uint8=True), or leave this transform out."
        )


def walk(step: Any) -> Iterable[Any]:
    """Yield transforms, a compound one (choices, policies) before those that it holds."""
    if isinstance(step, (list, tuple)):
        for part in step:
            yield from walk(part)
    elif step is not None:
        yield step
        for name in ("transforms", "policies", "transform"):
            yield from walk(getattr(step, name, None) if name in vars_of(step) else None)


def vars_of(step: Any) -> dict[str, Any]:
    """Attributes of an instance; its methods are none."""
    return getattr(step, "__dict__", {})
