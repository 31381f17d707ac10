"""What stored DICOM pixels mean: rescale, lookup tables, inversion, padding, private scales."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut

from data_prep.errors import DataError
from data_prep.volumes.dicom.frames import find, frame_groups
from data_prep.volumes.stored import only_data_errors

_PHILIPS = "Philips MR Imaging DD 001"
_PADDING = (
    ("PixelPaddingValue", "PixelPaddingRangeLimit"),
    ("FloatPixelPaddingValue", "FloatPixelPaddingRangeLimit"),
    ("DoubleFloatPixelPaddingValue", "DoubleFloatPixelPaddingRangeLimit"),
)


def real_values(
    raw: np.ndarray, data: Dataset, label: str, philips_scaling: str = "display"
) -> tuple[np.ndarray, np.ndarray | None]:
    """Turn stored pixels into intensities, bright for much signal.

    Args:
        raw: Stored pixels `(frames, rows, columns)`.
        data: The file's header.
        label: How messages call it.
        philips_scaling: See `data_prep.read_volume`.

    Returns:
        Intensities: of the file's own number type where nothing is to be done, int32 where they are
        only shifted by whole numbers, else mostly float32. And the padding, if there is any.

    Raises:
        DataError: A rescale that makes no numbers, or a broken lookup table.
    """
    with only_data_errors(label):
        padding = _padding(raw, data)
        if data.get("ModalityLUTSequence", None):
            values = np.asarray(apply_modality_lut(raw, data))
        else:
            values = _rescaled(raw, data, label, philips_scaling)
        if is_inverted(data):
            values = _inverted(values, data)
        return values, padding


def is_inverted(data: Dataset) -> bool:
    """Say whether low values stand for much signal: MONOCHROME1, but never Hounsfield units."""
    return (
        str(data.get("PhotometricInterpretation", "")).strip() == "MONOCHROME1"
        and str(data.get("Modality", "")) != "CT"
        and str(data.get("RescaleType", "")) != "HU"
    )


def value_notes(data: Dataset, name: str, philips_scaling: str) -> tuple[str, ...]:
    """Return notes on what a header says of its values that the user should know."""
    notes = []
    if str(data.get("PhotometricInterpretation", "")).strip() == "MONOCHROME1":
        what = "the values were inverted" if is_inverted(data) else "CT keeps its Hounsfield units"
        notes.append(f"{name}: MONOCHROME1 (low is bright); {what}.")
    if data.get("RealWorldValueMappingSequence", None):
        notes.append(f"{name}: its Real World Value Mapping is not applied; the rescale is.")
    if philips_scaling == "precise" and _philips_scale(data) is None:
        notes.append(f"{name}: no private scale of Philips; display values were taken.")
    return tuple(notes)


def check_one_scale(headers: Sequence[Dataset], name: str) -> None:
    """Raise DataError if some images of a series have Philips' private scale and others do not."""
    scaled = sum(_philips_scale(data) is not None for data in headers)
    if 0 < scaled < len(headers):
        raise DataError(
            f"Expected Philips' private scale in every image but got it in {scaled} of"
            f" {len(headers)}. Read it with --philips-scaling display.",
            path=name,
        )


def _padding(raw: np.ndarray, data: Dataset) -> np.ndarray | None:
    """Find the pixels that the file marks as padding; None if it marks none."""
    for value_name, limit_name in _PADDING:
        value = data.get(value_name, None)
        if value in (None, ""):
            continue
        limit = data.get(limit_name, None)
        ends = [value, value if limit in (None, "") else limit]
        if raw.dtype.kind in "iu":
            # Written as US or SS whatever the pixels are: the same 16 bits are meant.
            signed, half = raw.dtype.kind == "i", 1 << 15
            ends = [int(end) & 0xFFFF if -half <= int(end) <= 0xFFFF else int(end) for end in ends]
            ends = [end - 2 * half if signed and half <= end <= 0xFFFF else end for end in ends]
        found = (raw >= min(ends)) & (raw <= max(ends))
        return found if found.any() else None
    return None


def _inverted(values: np.ndarray, data: Dataset) -> np.ndarray:
    """Turn values round; the same constant holds for every slice of a series."""
    top = -1 if int(data.get("PixelRepresentation", 0) or 0) else 2 ** int(data.BitsStored) - 1
    if values.dtype.kind == "f":
        return (top - values).astype(values.dtype)
    turned = top - values.astype(np.int64)
    limits = np.iinfo(values.dtype)
    fits = limits.min <= turned.min() and turned.max() <= limits.max
    return turned.astype(values.dtype if fits else np.int32)


def _rescaled(raw: np.ndarray, data: Dataset, label: str, philips_scaling: str) -> np.ndarray:
    slopes, intercepts = [], []
    for group in frame_groups(data, label):
        slope, intercept = (find(data, group, k) for k in ("RescaleSlope", "RescaleIntercept"))
        slopes.append(1.0 if slope in (None, "") else float(slope))
        intercepts.append(0.0 if intercept in (None, "") else float(intercept))
    scale = _philips_scale(data) if philips_scaling == "precise" else None
    if scale is not None:
        if not math.isfinite(scale) or scale == 0:
            raise _bad_scale(label)
        # Philips: (stored x RS + RI) / (RS x SS).
        intercepts = [i / (s * scale) for s, i in zip(slopes, intercepts, strict=True)]
        slopes = [1 / scale] * len(slopes)
    if not all(math.isfinite(v) for v in (*slopes, *intercepts)) or 0.0 in slopes:
        raise _bad_scale(label)
    if set(slopes) == {1.0} and all(v == int(v) and abs(v) < 1e6 for v in intercepts):
        if set(intercepts) == {0.0}:
            return raw
        shift = np.array(intercepts, dtype=np.int64).reshape(-1, 1, 1)
        if raw.dtype.kind in "iu" and raw.dtype.itemsize <= 2:
            return raw.astype(np.int32) + shift.astype(np.int32)
    factor = np.array(slopes).reshape(-1, 1, 1)
    return (raw * factor + np.array(intercepts).reshape(-1, 1, 1)).astype(np.float32)


def _bad_scale(label: str) -> DataError:
    return DataError(
        "Expected a finite rescale with a factor other than 0 but got another. Repair the header.",
        path=label,
    )


def _philips_scale(data: Dataset) -> float | None:
    """Return Philips' private scale slope (2005,xx0E), if the file has one."""
    try:
        value = data.private_block(0x2005, _PHILIPS)[0x0E].value
    except KeyError:
        return None
    if isinstance(value, bytes):
        return struct.unpack("<f", value)[0] if len(value) == 4 else None
    return None if value in (None, "") else float(value)
