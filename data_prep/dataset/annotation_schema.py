"""What annotation files must hold: types, ranges and list lengths of every entry, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

Number = Annotated[float, Meta(ge=-1e9, le=1e9)]
Side = Annotated[int, Meta(ge=1, le=1 << 20)]
Identifier = Annotated[int, Meta(ge=-(1 << 53), le=1 << 53)] | str


def _numbers(count: int) -> Any:
    return Annotated[list[Number], Meta(min_length=count, max_length=count)]


class Image(msgspec.Struct):
    """A slice."""

    id: Identifier
    file_name: str
    width: Side
    height: Side
    patient_id: Identifier
    volume_id: Identifier
    spacing_mm: Annotated[list[Number], Meta(max_length=3)]
    neighbours: list[str] = []


class Code(msgspec.Struct):
    """A run-length code; damaged ones are told by the checks of masks."""

    size: Annotated[list[Side], Meta(min_length=2, max_length=2)]
    counts: str


class Annotation(msgspec.Struct):
    """A lesion on a slice."""

    id: Identifier
    image_id: Identifier
    bbox: _numbers(4)
    recist: _numbers(8) | msgspec.UnsetType = msgspec.UNSET
    short_axis_mm: Number | msgspec.UnsetType = msgspec.UNSET
    long_axis_mm: Number | msgspec.UnsetType = msgspec.UNSET
    mask_source: str = ""
    site: str = ""
    iscrowd: int | bool = 0
    segmentation: Code | list[Any] | None = None


class Volume(msgspec.Struct):
    """A volume."""

    volume_id: Identifier
    shape_zyx: Annotated[list[Side], Meta(min_length=3, max_length=3)]


class Lesion3D(msgspec.Struct):
    """A lesion in a volume."""

    id: Identifier
    volume_id: Identifier
    box3d: _numbers(6)


ENTRIES: dict[str, Any] = {
    "images": Image,
    "annotations": Annotation,
    "categories": dict[str, Any],
    "volumes": Volume,
    "lesions": Lesion3D,
}


def fault(content: Any, lists: Sequence[str]) -> str | None:
    """Say what in an annotation file is not as it must be, None if all is.

    Args:
        content: What the file holds.
        lists: Names of the lists of entries that it must have, see `ENTRIES`.

    Returns:
        Expected and found value and where it stands: `entry 3 of images, .width: Expected …`.
    """
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in lists):
        return f"Expected the lists {', '.join(lists)} but got something else"
    for name in lists:
        for number, entry in enumerate(content[name], start=1):
            try:
                msgspec.convert(entry, ENTRIES[name])
            except msgspec.ValidationError as error:
                text, _, place = str(error).partition(" - at `$")
                return f"entry {number} of {name}{place and ', '}{place.rstrip('`')}: {text}"
    return None
