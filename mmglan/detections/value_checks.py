"""Checks of single values in annotation, volume and result files."""

from __future__ import annotations

from numbers import Real

import numpy as np

# Neither scores, pixels nor millimetres go beyond; sums and products of larger ones overflow.
MAX_NUMBER = 1e100


def finite_numbers(values, count: int) -> bool:
    """Whether `values` is a list of so many finite numbers of at most `MAX_NUMBER`."""
    return (
        isinstance(values, (list, tuple))
        and len(values) == count
        and all(
            isinstance(value, Real)
            and not isinstance(value, (bool, np.bool_))
            and abs(value) <= MAX_NUMBER
            for value in values
        )
    )


def check_size(annotation: dict, where: str) -> None:
    """Raise ValueError unless size is known as an axis in mm, the ends of two axes, or not."""
    axis = annotation.get("short_axis_mm")
    if axis and not finite_numbers([axis], 1):
        raise ValueError(f"{where}: Expected short_axis_mm as a number but got {axis!r}")
    recist = annotation.get("recist")
    try:
        ends = np.asarray(recist or [0] * 8, dtype=np.float64)
    except (TypeError, ValueError):
        ends = np.zeros(0)
    if ends.size != 8 or not np.isfinite(ends).all():
        raise ValueError(
            f"{where}: Expected recist as the eight coordinates of two axes but got {recist!r}"
        )


def check_spacing(spacing, where: str, names: str, counts: tuple[int, ...]) -> None:
    """Raise ValueError unless `spacing` is None or so many numbers above 0."""
    known = any(finite_numbers(spacing, count) for count in counts)
    if spacing is not None and not (known and min(spacing) > 0):
        raise ValueError(
            f"{where}: Expected spacing_mm as {names}, each above 0, but got {spacing!r}"
        )
