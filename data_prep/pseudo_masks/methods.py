"""The methods that make a mask from a bookmark, in one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from data_prep.bookmarks.recist import Bookmark
from data_prep.pseudo_masks import grabcut, shapes
from data_prep.pseudo_masks.grabcut import PseudoMask

DEFAULT = "bounded-lean"
# Unspecified in the paper. Without checks every further iteration leaks more, with them the number
# hardly matters (docs/pseudo_masks.md).
PAPER_ITERATIONS = 1


@dataclass(frozen=True)
class Method:
    """One way to make a mask.

    Attributes:
        make: Called with image, bookmark and pixel spacing (x, y), for GrabCut with `iterations`,
            too; returns a `PseudoMask`.
        for_training: Whether `data_prep.prepare` offers it; the others are only scored.
        iterates: Whether it is GrabCut, whose number of iterations may be chosen.
    """

    make: Callable[..., PseudoMask]
    for_training: bool = True
    iterates: bool = False


def _grabcut(
    image: np.ndarray,
    bookmark: Bookmark,
    spacing_xy: Sequence[float],
    *,
    variant: str,
    checked: bool = True,
    iterations: int = grabcut.ITERATIONS,
) -> PseudoMask:
    return grabcut.pseudo_mask(
        image,
        bookmark,
        variant,
        checked=checked,
        iterations=iterations,
        spacing_xy=spacing_xy,
    )


def _shape(
    image: np.ndarray,
    bookmark: Bookmark,
    spacing_xy: Sequence[float],
    *,
    draw: Callable[[Bookmark, Sequence[int]], np.ndarray],
    name: str,
) -> PseudoMask:
    return PseudoMask(draw(bookmark, image.shape), name)


METHODS: dict[str, Method] = {
    "bounded-lean": Method(partial(_grabcut, variant="bounded-lean"), iterates=True),
    "bounded": Method(partial(_grabcut, variant="bounded"), iterates=True),
    "paper": Method(
        partial(_grabcut, variant="paper", checked=False, iterations=PAPER_ITERATIONS),
        iterates=True,
    ),
    "paper-checked": Method(partial(_grabcut, variant="paper"), iterates=True),
    "quadrilateral": Method(partial(_shape, draw=shapes.quadrilateral_mask, name="quadrilateral")),
    "ellipse": Method(partial(_shape, draw=shapes.ellipse_mask, name="ellipse")),
    "box": Method(partial(_shape, draw=shapes.recist_box_mask, name="box"), for_training=False),
}
MASK_METHODS = tuple(name for name, method in METHODS.items() if method.for_training)
ITERATING = tuple(name for name, method in METHODS.items() if method.iterates)


def pseudo_mask(
    image: np.ndarray,
    bookmark: Bookmark,
    method: str = DEFAULT,
    *,
    iterations: int | None = None,
    spacing_xy: Sequence[float] = (1.0, 1.0),
) -> PseudoMask:
    """Segment a lesion from its bookmark.

    Args:
        image: `(H, W)`, any numeric type, finite.
        bookmark: End points in pixels of the image.
        method: One of `METHODS`: GrabCut (`bounded-lean`, `bounded`; `paper` as it comes;
            `paper-checked`, the ellipse where GrabCut's mask is far off the bookmark) or a shape
            drawn from the bookmark alone (`quadrilateral`, `ellipse`, `box`).
        iterations: Of GrabCut; default 1 for `paper` and 5 for the others.
        spacing_xy: Pixel spacing (x, y) in mm; only its ratio counts.

    Returns:
        The mask and what made it, see `data_prep.pseudo_masks.grabcut.PseudoMask`.

    Raises:
        ValueError: The image is not 2D, the method is unknown or has no iterations, or the bookmark
            lies outside; shapes are cut to the image instead.

    Examples:
        >>> import numpy as np
        >>> from data_prep.bookmarks.recist import Bookmark
        >>> image = np.zeros((32, 32)); image[10:21, 6:27] = 100.0
        >>> bookmark = Bookmark([(6, 15), (26, 15)], [(16, 10), (16, 20)])
        >>> made = pseudo_mask(image, bookmark, method="ellipse")
        >>> made.source, made.mask.shape, bool(made.mask[15, 16]), bool(made.mask[0, 0])
        ('ellipse', (32, 32), True, False)
    """
    if method not in METHODS:
        raise ValueError(f"Expected a method of {', '.join(METHODS)} but got {method!r}.")
    image = np.asarray(image)
    if image.ndim != 2:
        raise ValueError(f"Expected an image of shape (H, W) but got {image.shape}.")
    if iterations is None:
        return METHODS[method].make(image, bookmark, spacing_xy)
    if not METHODS[method].iterates:
        raise ValueError(f"Expected no iterations for {method}, a shape, but got {iterations}.")
    return METHODS[method].make(image, bookmark, spacing_xy, iterations=iterations)
