"""DICOM's own numbers of slices, which viewers show, compared with their positions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from pydicom.dataset import Dataset


def instance_numbers(headers: Sequence[Dataset]) -> tuple[int, ...]:
    """Return the InstanceNumber of each file; nothing if they do not tell the files apart."""
    numbers = []
    for header in headers:
        try:
            numbers.append(int(header.get("InstanceNumber")))
        except (TypeError, ValueError):
            return ()
    return tuple(numbers) if len(set(numbers)) == len(numbers) else ()


def numbering_note(numbers: Sequence[int], name: str) -> str | None:
    """Return a note if slices in the order of their positions are not numbered 1, 2, 3 ….

    Args:
        numbers: In the order of the slices.
        name: How the note calls the series.

    >>> numbering_note((5, 4, 3, 2, 1), "scan").split(". ")[0]
    'scan: the images are numbered against their positions: slice 0 is image 5, slice 4 is image 1'
    """
    steps = {after - before for before, after in pairwise(numbers)}
    if len(numbers) < 2 or (steps == {1} and numbers[0] == 1):
        return None
    against = all(step < 0 for step in steps)
    how = "against their positions" if against else "otherwise than by their positions"
    if all(step > 0 for step in steps):
        how = "along their positions, but not from 1 on"
    return (
        f"{name}: the images are numbered {how}: slice 0 is image {numbers[0]}, slice"
        f" {len(numbers) - 1} is image {numbers[-1]}. A table may name slices by instance_number or"
        " sop_instance_uid."
    )
