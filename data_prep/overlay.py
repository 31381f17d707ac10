"""Pictures: masks, boxes, bookmarks and scores over a slice, and sheets of such pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from data_prep.bookmarks.recist import Bookmark

GT = (255, 255, 0)
PREDICTION = (0, 255, 0)
SCORE = (255, 0, 0)
BOOKMARK = (0, 255, 255)

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_CAPTION_HEIGHT = 14


def draw(
    image: np.ndarray,
    *,
    gt_masks: Iterable[np.ndarray] = (),
    gt_boxes: Iterable[Sequence[float]] = (),
    predicted_masks: Iterable[np.ndarray] = (),
    predicted_boxes: Iterable[Sequence[float]] = (),
    scores: Iterable[float] = (),
    bookmarks: Iterable[Bookmark] = (),
    scale: int = 1,
) -> np.ndarray:
    """Draw over a slice: ground truth yellow, predictions green, scores red, bookmarks cyan.

    Args:
        image: `(H, W)` of any numeric type, shown from its minimum to its maximum (uint8 as it
            is), or `(H, W, 3)` uint8 RGB.
        gt_masks: `(H, W)` each, what is not 0 is outlined.
        gt_boxes: (x1, y1, x2, y2) each, pixels; pixel *i* covers [i, i + 1), as in COCO.
        predicted_masks: as `gt_masks`.
        predicted_boxes: as `gt_boxes`.
        scores: 0 to 1, one per predicted box, or none.
        bookmarks: their two axes are drawn.
        scale: whole factor by which the picture is enlarged.

    Returns:
        uint8 RGB `(scale × H, scale × W, 3)`; the input is not changed.

    Raises:
        ValueError: if the image has another shape, or scores and predicted boxes differ in number.
    """
    canvas = np.repeat(np.repeat(_rgb(image), scale, axis=0), scale, axis=1)
    predicted_boxes, scores = list(predicted_boxes), list(scores)
    if scores and len(scores) != len(predicted_boxes):
        raise ValueError(
            f"Expected one score per predicted box ({len(predicted_boxes)}) but got {len(scores)}."
        )
    for masks, colour in ((gt_masks, GT), (predicted_masks, PREDICTION)):
        for mask in masks:
            _outline(canvas, mask, colour, scale)
    for boxes, colour in ((gt_boxes, GT), (predicted_boxes, PREDICTION)):
        for box in boxes:
            _rectangle(canvas, box, colour, scale)
    for bookmark in bookmarks:
        for axis in (bookmark.long_axis, bookmark.short_axis):
            # Pixel centres: half a pixel of the enlarged picture further.
            start, end = np.round((axis + 0.5) * scale - 0.5).astype(int).tolist()
            cv2.line(canvas, start, end, BOOKMARK, 1)
    taken: list[tuple[int, int, int]] = []
    for box, score in zip(predicted_boxes, scores, strict=False):
        _write(canvas, f"{score:.2f}", box, scale, taken)
    return canvas


def sheet(
    images: Sequence[np.ndarray], captions: Sequence[str] = (), columns: int | None = None
) -> np.ndarray:
    """Lay pictures out in a grid, row by row, on black.

    Args:
        images: uint8 RGB `(H, W, 3)` each (or anything `draw` takes), sizes may differ.
        captions: one short text per image, or none.
        columns: pictures in a row; as square a grid as possible by default.

    Returns:
        uint8 RGB.

    Raises:
        ValueError: if there is no image, or captions and images differ in number.
    """
    if not len(images):
        raise ValueError("Expected at least one image for a sheet but got none.")
    if captions and len(captions) != len(images):
        raise ValueError(f"Expected {len(images)} captions but got {len(captions)}.")
    pictures = [_rgb(image) for image in images]
    columns = columns or int(np.ceil(np.sqrt(len(pictures))))
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    gap, top = 4, _CAPTION_HEIGHT if captions else 0
    height = max(picture.shape[0] for picture in pictures)
    width = max(picture.shape[1] for picture in pictures)
    step_y, step_x = height + top + gap, width + gap
    canvas = np.zeros((rows * step_y + gap, columns * step_x + gap, 3), np.uint8)
    for index, picture in enumerate(pictures):
        y, x = gap + index // columns * step_y, gap + index % columns * step_x
        canvas[y + top : y + top + picture.shape[0], x : x + picture.shape[1]] = picture
        if captions:
            strip = canvas[y : y + top, x : x + width]
            text = np.zeros(strip.shape, np.uint8)
            cv2.putText(text, captions[index], (0, top - 4), _FONT, 0.35, (255, 255, 255), 1)
            strip[:] = text
    return canvas


def _rgb(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8:
        return image.copy()
    if image.ndim != 2:
        raise ValueError(
            f"Expected an image of shape (H, W), or (H, W, 3) uint8, but got {image.shape} "
            f"{image.dtype}."
        )
    if image.dtype != np.uint8:
        low, high = float(image.min()), float(image.max())
        image = (image.astype(np.float64) - low) * (255.0 / ((high - low) or 1.0))
        image = np.round(image).astype(np.uint8)
    return np.repeat(image[:, :, None], 3, axis=2)


def _outline(canvas: np.ndarray, mask: np.ndarray, colour: Sequence[int], scale: int) -> None:
    mask = (np.asarray(mask) != 0).astype(np.uint8)
    if mask.shape != (canvas.shape[0] // scale, canvas.shape[1] // scale):
        raise ValueError(
            f"Expected a mask of the image's shape "
            f"{(canvas.shape[0] // scale, canvas.shape[1] // scale)} but got {mask.shape}."
        )
    mask = np.repeat(np.repeat(mask, scale, axis=0), scale, axis=1)
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(canvas, contours, -1, colour, 1)


def _rectangle(canvas: np.ndarray, box: Sequence[float], colour: Sequence[int], scale: int) -> None:
    x1, y1, x2, y2 = np.round(np.asarray(box, dtype=np.float64) * scale).astype(int).tolist()
    # The last pixel that the box covers lies one before its end.
    cv2.rectangle(canvas, (x1, y1), (max(x2 - 1, x1), max(y2 - 1, y1)), colour, 1)


def _write(
    canvas: np.ndarray,
    text: str,
    box: Sequence[float],
    scale: int,
    taken: list[tuple[int, int, int]],
) -> None:
    """Write a text at a box, clear of those at the places `taken` (x, y, width).

    Above the box, or below it where the picture ends; further off while another text lies there.
    """
    x1, y1, _, y2 = np.round(np.asarray(box, dtype=np.float64) * scale).astype(int).tolist()
    size = 0.4
    (width, height), _ = cv2.getTextSize(text, _FONT, size, 1)
    line = height + 3
    x = int(np.clip(x1, 0, max(canvas.shape[1] - width, 0)))
    upwards = range(y1 - 3, height - 1, -1)
    downwards = range(y2 + line, canvas.shape[0])
    free = (y for y in (*upwards, *downwards) if not _is_taken(x, y, width, line, taken))
    y = next(free, min(y2 + line, canvas.shape[0] - 1))
    taken.append((x, y, width))
    cv2.putText(canvas, text, (x, y), _FONT, size, SCORE, 1, cv2.LINE_AA)


def _is_taken(x, y, width, height, taken):
    return any(
        abs(y - other_y) < height and x < other_x + other_width and other_x < x + width
        for other_x, other_y, other_width in taken
    )
