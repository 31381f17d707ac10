"""Reading a slice, alone or with its neighbours as channels (2.5D).

H, W: height and width of the slice in pixels. k: number of neighbours on each side.
"""

from __future__ import annotations

import os.path as osp
import re
from collections.abc import Sequence

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmengine.fileio import get

from data_prep.dataset.one_volume.slice_selection import window_of
from data_prep.limits import check_png
from mmglan.datasets.grey_values import Range, stated_range, to_float


@TRANSFORMS.register_module()
class LoadSlice(BaseTransform):
    """Load a grey slice as float32 in [0, 255].

    Reads `img_path`, or takes an `img` that another transform has loaded (with
    `color_type='unchanged'`; MMDetection's own inference needs `LoadImageFromFile` in the pipeline
    and puts its own loader in its place). Neighbours come from `neighbours` (see
    `LesionDataset`), else from the numbered files next to `img_path`; at the ends of a
    volume the last slice is repeated. Sets `img`, `img_shape` and `ori_shape`.

    Args:
        context: k. 0 repeats the slice over three channels; k > 0 gives the 2k + 1 slices from
            k below to k above as channels.
        value_range: Values that stand for black and white. None: what the data set states
            (`value_range` of the sample), else see `to_float`.
        to_uint8: Round to 8 bits, for transforms that know no other pixels.
        windows: Windows of CT as channels, (low, high) in Hounsfield units each, cut out of slices
            that were prepared with one wide window. None: no windows.
        stored_window: That wide window. A data set that states another normalisation is refused;
            one that states none is taken to have it.

    Raises:
        FileNotFoundError: No such image.
        ValueError: Not a grey image, values out of their range, a neighbour of another size,
            too few neighbours prepared, windows beside a context or beyond the stored window, or
            slices that were normalised otherwise.
    """

    def __init__(
        self,
        context: int = 0,
        value_range: Range | None = None,
        to_uint8: bool = False,
        windows: Sequence[Range] | None = None,
        stored_window: Range = (-1024.0, 3071.0),
    ) -> None:
        if context < 0:
            raise ValueError(f"Expected context to be 0 or more but got {context}.")
        self.context = context
        self.value_range = stated_range({"value_range": value_range})
        self.to_uint8 = to_uint8
        self.windows, self.stored_window = windows and [*map(tuple, windows)], tuple(stored_window)
        if windows:
            self._check_windows()

    def _check_windows(self) -> None:
        low, high = self.stored_window
        if self.context:
            raise ValueError("Expected windows or a context but got both: each makes the channels.")
        if not all(low <= start < end <= high for start, end in self.windows):
            raise ValueError(
                f"Expected windows within the stored one, {low:g} to {high:g}, but got "
                f"{self.windows}. Prepare with a wider window and state it: stored_window."
            )

    def transform(self, results: dict) -> dict:
        """Load the slice; see the class for what is read and set."""
        path = results.get("img_path")
        values = self.value_range or results.get("value_range")
        loaded = results.get("img")
        if loaded is None:
            loaded = _read(path)
        stacked = path is None and loaded.ndim == 3 and loaded.shape[2] == 2 * self.context + 1
        if self.context and stacked:  # an array that brings its neighbours along
            img = to_float(loaded, path, values)
        else:
            centre = to_float(_single_channel(loaded, path), path, values)
            if self.windows:
                img = self._windowed(centre, path, results.get("normalize"))
            else:
                img = self._stack(centre, results, path, values)
        if self.to_uint8:
            img = np.rint(img).astype(np.uint8)
        results["img"] = np.ascontiguousarray(img)
        results["img_shape"] = results["ori_shape"] = img.shape[:2]
        return results

    def _windowed(self, image: np.ndarray, path: str | None, stated: str | None) -> np.ndarray:
        """Return the windows `(H, W, number of windows)` of a slice of the stored window."""
        low, high = self.stored_window
        if stated is not None and window_of(stated) != self.stored_window:
            where = "" if path is None else f"{path}: "
            raise ValueError(
                f"{where}Expected slices normalised by window:{low:g},{high:g}, of which the "
                f"windows are parts, but got {stated}. Prepare or infer with --normalize "
                f"window:{low:g},{high:g}, or state theirs: LoadSlice stored_window."
            )
        units = low + image * ((high - low) / 255)
        parts = [np.clip((units - start) / (end - start), 0, 1) for start, end in self.windows]
        return (255 * np.stack(parts, axis=2)).astype(np.float32)

    def _stack(
        self, centre: np.ndarray, results: dict, path: str | None, values: Range | None
    ) -> np.ndarray:
        if self.context == 0:
            return np.repeat(centre[..., None], 3, axis=2)
        slices = []
        for neighbour in self._neighbour_paths(results, path):
            image = centre
            if neighbour is not None and neighbour != path:
                image = to_float(_single_channel(_read(neighbour), neighbour), neighbour, values)
            if image.shape != centre.shape:
                raise ValueError(
                    f"{neighbour}: Expected a slice of {centre.shape} pixels like {path} "
                    f"but got {image.shape}."
                )
            slices.append(image)
        slices.insert(self.context, centre)
        return np.stack(slices, axis=2)

    def _neighbour_paths(self, results: dict, path: str | None) -> list[str | None]:
        """Return 2k paths, from k below to k above without the slice itself; None repeats it."""
        listed = results.get("neighbours")
        if listed is None:
            return numbered_neighbours(path, self.context)
        if len(listed) < 2 * self.context:
            raise ValueError(
                f"{path}: Expected {2 * self.context} neighbouring slices but got {len(listed)}. "
                f"Prepare the data with --context {self.context}."
            )
        middle = len(listed) // 2
        return listed[middle - self.context : middle + self.context]

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(context={self.context}, value_range={self.value_range}, "
            f"to_uint8={self.to_uint8}, windows={self.windows}, "
            f"stored_window={self.stored_window})"
        )


def numbered_neighbours(path: str | None, context: int) -> list[str | None]:
    """Return the paths of the files numbered around `path`, as in `v0001/v0001_0040.png`.

    Args:
        path: Of the slice; None, or a name without a number at its end, has no neighbours.
        context: k.

    Returns:
        2k paths from k below to k above; where a file is missing, the last one before it towards
        the slice; None for the slice itself.
    """
    folder, name = osp.split(path or "")
    match = re.fullmatch(r"(.*?)(\d+)(\.\w+)", name)
    found: dict[int, str | None] = {0: None}
    for step in (-1, 1):
        for offset in range(step, step * (context + 1), step):
            found[offset] = found[offset - step]
            if match:
                number = int(match[2]) + offset
                other = f"{match[1]}{number:0{len(match[2])}d}{match[3]}"
                other = osp.join(folder, other)
                if number >= 0 and osp.exists(other) and _stays_in(folder, other):
                    found[offset] = other
    return [found[offset] for offset in range(-context, context + 1) if offset]


def _stays_in(folder: str, path: str) -> bool:
    """Whether a file is no link to another folder."""
    return not osp.islink(path) or osp.dirname(osp.realpath(path)) == osp.realpath(folder)


def _read(path: str) -> np.ndarray:
    try:
        content = get(path)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"Expected the image {path} but got no such file. Check data_root and data_prefix."
        ) from None
    check_png(content[:24], path)
    image = mmcv.imfrombytes(content, flag="unchanged", backend="cv2")
    if image is None:
        raise ValueError(f"{path}: Expected an image but got a file that does not decode.")
    return image


def _single_channel(image: np.ndarray, path: str | None) -> np.ndarray:
    """Return `(H, W)` of a grey image, also of one with equal channels."""
    if image.ndim == 2:
        return image
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise ValueError(f"{path}: Expected a grey image but got an array of shape {image.shape}.")
    grey = image[..., 0]
    if (image[..., :3] == grey[..., None]).all():  # a fourth channel is opacity
        return grey
    raise ValueError(f"{path}: Expected a grey image but got colours. Convert it first.")
