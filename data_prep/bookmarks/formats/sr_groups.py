"""One measurement group of a DICOM structured report: two axes, or what else was drawn.

Each axis is a NUM item, long axis or short axis, inferred from a polyline of two points: SCOORD in
the pixels of one image, or SCOORD3D in mm. In SCOORD the corner of the first pixel is (0, 0) and
its centre (0.5, 0.5) (DICOM PS3.3 C.18.6); drawings count from pixel centres.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import Code, codes

from data_prep.errors import DataError

# The tools of viewers, by the last word of the tracking identifier, and what their reports call.
_TOOLS = {
    "Length": "length",
    "ArrowAnnotate": "arrow",
    "EllipticalROI": "ellipse",
    "CircleROI": "circle",
    "RectangleROI": "rectangle",
    "PlanarFreehandROI": "freehand outline",
    "SplineROI": "freehand outline",
    "LivewireContour": "freehand outline",
    "UltrasoundDirectionalTool": "line",
    "Angle": "angle",
    "CobbAngle": "angle",
    "Probe": "point",
    "KeyImage": "key image",
}
_TOOL = re.compile(r":(\w{1,40})(?::|$)")
# Neither has an extent that is a lesion's.
_NO_OUTLINE = ("arrow", "angle")
# How Cornerstone's reports begin; those of cornerstoneTools are in pixels from the start.
_MAY_SWAP_SPACING = "Cornerstone3DTools@"
# What Cornerstone draws beside a measurement: the place of its text, the handles of its outline.
_BESIDE = (Code("TextPosition", "99CS3D", ""), Code("ControlPoints", "99CS3D", ""))
_MM = {"mm": 1.0, "cm": 10.0}
# Graphic types: the shape, its fewest and most points, and how messages call it.
_GRAPHICS = {
    "POINT": ("points", 1, 1, "point"),
    "MULTIPOINT": ("points", 1, 10_000, "point"),
    "POLYLINE": ("outline", 3, 100_000, "outline"),
    "POLYGON": ("outline", 3, 100_000, "outline"),
    "CIRCLE": ("circle", 2, 2, "circle"),
    "ELLIPSE": ("ellipse", 4, 4, "ellipse"),
    "ELLIPSOID": ("solid", 6, 6, "ellipsoid"),
}


@dataclass(frozen=True, eq=False)
class Drawing:
    """Something drawn on an image or in space.

    Attributes:
        shape: `cross`, or of `data_prep.bookmarks.one_axis.SHAPES`.
        drawn: How messages call it.
        points: `(N, 2)` pixels counted from pixel centres, or `(N, 3)` mm (LPS).
        image: SOP instance UID and 1-based frame of the image; None each in mm.
        frame_uid: UID of the frame of reference of mm, where it is named.
        lengths_mm: Of each axis as the report gives them; empty if it does not.
        may_swap_spacing: See `data_prep.bookmarks.formats.reported_lengths`.
    """

    shape: str
    drawn: str
    points: np.ndarray
    image: tuple[str | None, int | None]
    lengths_mm: tuple[float, ...] = ()
    may_swap_spacing: bool = False
    frame_uid: str | None = None


def drawings(group: Dataset) -> tuple[list[Drawing], int]:
    """Return what a measurement group draws: one cross, or everything else that it holds.

    Returns:
        The drawings, and how many more there are beside a cross: on other images, or apart from it.

    Raises:
        DataError: Axes that make no cross, or no coordinates that can be used.
    """
    axes = [
        [i for i in group.get("ContentSequence", ()) if is_item(i, "NUM", code)]
        for code in (codes.SCT.LongAxis, codes.SCT.ShortAxis)
    ]
    counts = [len(items) for items in axes]
    if counts == [1, 1]:
        long, short = (_axis(items[0]) for items in axes)
        if (long.image, long.frame_uid) != (short.image, short.frame_uid):
            raise DataError(
                "Expected both axes on one image but got two. Measure them on one slice."
            )
        points = np.concatenate([long.points, short.points])
        lengths = tuple(length for items in axes for length in _length_mm(items[0]))
        lengths = lengths if len(lengths) == 2 else ()
        swapped = _may_swap(group, points)
        cross = Drawing("cross", "", points, long.image, lengths, swapped, long.frame_uid)
        used = {id(entry) for axis in axes for entry in coordinates(axis[0])}
        rest = [entry for entry in coordinates(group) if id(entry) not in used]
        return [cross], sum(_is_apart(_drawing(entry, None), cross) for entry in rest)
    if max(counts) > 1:
        raise DataError(
            f"Expected one long and one short axis but got {counts[0]} and {counts[1]}. Measure "
            "both, each lesion in a group of its own."
        )
    found, seen = [], set()
    tool = "long axis" if counts == [1, 0] else "short axis" if counts == [0, 1] else _tool(group)
    parents = {
        id(child): item
        for item in items_below(group)
        if str(item.get("ValueType", "")) == "NUM"
        for child in item.get("ContentSequence", None) or ()
    }
    for item in coordinates(group):
        drawing = _drawing(item, tool)
        lengths = ()
        if drawing.shape == "line" and id(item) in parents:
            lengths = _length_mm(parents[id(item)])
        drawing = replace(
            drawing, lengths_mm=lengths, may_swap_spacing=_may_swap(group, drawing.points)
        )
        key = (drawing.image, drawing.points.tobytes())
        if key not in seen:
            found.append(drawing)
        seen.add(key)
    if not found:
        raise DataError(
            "Expected the coordinates of a long and a short axis but got a measurement without"
            " coordinates. Measure both axes; of a segmentation, name its file as bookmarks."
        )
    return found, 0


def items_below(node: Dataset, depth: int = 64) -> Iterator[Dataset]:
    """Walk all content items below a node."""
    for item in node.get("ContentSequence", None) or ():
        yield item
        if depth:
            yield from items_below(item, depth - 1)


def coordinates(node: Dataset) -> list[Dataset]:
    """Return the items with coordinates of what is measured below a node."""
    return [
        item
        for item in items_below(node)
        if "GraphicData" in item and not any(code in _BESIDE for code in _codes(item))
    ]


def is_item(item: Dataset, kind: str, code: Code) -> bool:
    """Say whether an item is of a value type and name; SRT codes count as their SCT ones."""
    return str(item.get("ValueType", "")) == kind and code in _codes(item)


def _codes(item: Dataset) -> list[Code]:
    """Return the codes of an item's name."""
    return [
        Code(str(n.get("CodeValue", "")), str(n.get("CodingSchemeDesignator", "")), "")
        for n in item.get("ConceptNameCodeSequence", None) or ()
    ]


def _tracked(group: Dataset) -> list[str]:
    """Return the tracking identifiers of a group, by which viewers say what drew it."""
    return [
        str(item.get("TextValue", ""))
        for item in group.get("ContentSequence", None) or ()
        if is_item(item, "TEXT", codes.DCM.TrackingIdentifier)
    ]


def _tool(group: Dataset) -> str | None:
    """Return how messages call the viewer's tool that drew a group, if that is known."""
    found = [_TOOL.search(text) for text in _tracked(group)]
    return next((_TOOLS[tool[1]] for tool in found if tool and tool[1] in _TOOLS), None)


def _may_swap(group: Dataset, points: np.ndarray) -> bool:
    return points.shape[1] == 2 and any(t.startswith(_MAY_SWAP_SPACING) for t in _tracked(group))


def _length_mm(item: Dataset) -> tuple[float, ...]:
    """Return the value of a measurement in mm, if it is a length."""
    for measured in item.get("MeasuredValueSequence", None) or ():
        for unit in measured.get("MeasurementUnitsCodeSequence", None) or ():
            scale = _MM.get(str(unit.get("CodeValue", "")))
            value = float(measured.get("NumericValue", None) or 0)
            if scale and np.isfinite(value) and value > 0:
                return (value * scale,)
    return ()


def _axis(axis: Dataset) -> Drawing:
    items = [i for i in axis.get("ContentSequence", ()) if "GraphicData" in i]
    if len(items) != 1:
        raise DataError(
            f"Expected each axis with its line (SCOORD or SCOORD3D) but got {len(items)} lines. "
            "Export the report with coordinates."
        )
    line = _drawing(items[0], "axis")
    if line.shape != "line":
        raise DataError("Expected a line of 2 points but got another shape. Measure it again.")
    return line


def _drawing(item: Dataset, tool: str | None) -> Drawing:
    points, in_mm = _points(item)
    kind = str(item.get("GraphicType", ""))
    if kind not in _GRAPHICS:
        raise DataError("Expected a known graphic type but got another. Measure both axes.")
    shape, fewest, most, drawn = _GRAPHICS[kind]
    if kind == "POLYLINE" and len(points) == 2:
        shape, fewest, drawn = "line", 2, "length"
    if tool in _NO_OUTLINE:
        shape = "points"  # of an arrow, either end may be the tip
    if not fewest <= len(points) <= most:
        raise DataError(
            f"Expected {drawn} of {fewest} points but got {len(points)}. Measure it again."
        )
    image = (None, None) if in_mm else _image(item)
    points = points - (0.0 if in_mm else 0.5)
    frame_uid = str(item.get("ReferencedFrameOfReferenceUID", "") or "") or None
    return Drawing(shape, tool or drawn, points, image, frame_uid=frame_uid if in_mm else None)


def _is_apart(drawing: Drawing, cross: Drawing) -> bool:
    """Say whether a drawing lies on another image than a cross, or outside of its box."""
    if drawing.image != cross.image or drawing.points.shape[1] != cross.points.shape[1]:
        return True
    low, high = cross.points.min(axis=0), cross.points.max(axis=0)
    below, above = drawing.points.max(axis=0) < low, drawing.points.min(axis=0) > high
    return bool((below | above).any())


def _points(item: Dataset) -> tuple[np.ndarray, bool]:
    """Return the points of an item, and whether they are mm in space."""
    in_mm = str(item.get("ValueType", "")) == "SCOORD3D"
    data = item.GraphicData
    numbers = np.array([data] if isinstance(data, float) else data, dtype=float)
    size = 3 if in_mm else 2
    if not numbers.size or numbers.size % size or not np.isfinite(numbers).all():
        raise DataError(
            f"Expected points of {size} finite numbers but got others. Measure it again."
        )
    return numbers.reshape(-1, size), in_mm


def _image(item: Dataset) -> tuple[str, int | None]:
    images = {
        image
        for entry in item.get("ContentSequence", None) or ()
        for image in referenced_images(entry.get("ReferencedSOPSequence", None))
    }
    if not images:
        raise DataError("Expected the image of each line but got none. Export the report again.")
    if len(images) > 1:
        raise DataError(
            f"Expected one image of each line but got {len(images)}. Measure it on one slice."
        )
    return images.pop()


def referenced_images(sequence: Iterable[Dataset] | None) -> list[tuple[str, int | None]]:
    """Return the SOP instance UID and 1-based frame (None: the file) of each image of a sequence.

    A reference may name several frames of a file.
    """
    found = []
    for reference in sequence or ():
        frames = reference.get("ReferencedFrameNumber", None)
        several = [frames] if frames is None or isinstance(frames, int) else map(int, frames)
        found += [(str(reference.ReferencedSOPInstanceUID), frame) for frame in several]
    return found
