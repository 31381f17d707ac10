"""A volume as it is stored, and the guards that every reader stands behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from data_prep.errors import DataError
from data_prep.limits import max_voxels
from data_prep.volumes.geometry import Grid


@dataclass(frozen=True, eq=False)
class Stored:
    """What a format reader returns.

    Args:
        array: Intensities `(k, j, i)`.
        grid: Grid of the array.
        slice_uids: DICOM: SOP instance UID of each stored slice, with `#` and the 1-based frame
            for frames of one file.
        slice_numbers: The files' own slice numbers, if the format has them (DeepLesion; DICOM's
            InstanceNumber, or the 1-based frame).
        notes: Lines on what was assumed or chosen in reading.
        frame_uid: DICOM: UID of the frame of reference, in which its mm count; else empty.
        segment_names: Name of each label that the file names.
        padding: Voxels `(k, j, i)` that the file marks as no part of the image, or None.
    """

    array: np.ndarray
    grid: Grid
    slice_uids: tuple[str, ...] = ()
    slice_numbers: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    padding: np.ndarray | None = None
    segment_names: Mapping[int, str] = field(default_factory=dict)
    frame_uid: str = ""


@contextmanager
def only_data_errors(name: str) -> Iterator[None]:
    """Turn whatever a parser throws at broken input into a DataError.

    The original message is dropped on purpose: parsers quote values, and those may be a patient's.
    """
    try:
        yield
    except DataError:
        raise
    except OSError:
        raise DataError(
            "Expected readable data but the system refuses it. Check the rights and the disk.",
            path=name,
        ) from None
    except MemoryError:
        raise DataError(
            "Expected a volume that fits in memory but got a larger one. Crop it.", path=name
        ) from None
    except Exception as error:
        raise DataError(
            f"Expected a sound file but got a broken one ({type(error).__name__}). Export it "
            "again.",
            path=name,
        ) from None


def check_size(size: tuple[int, ...], name: str) -> None:
    """Raise DataError unless all of `size` are positive and the volume is of a sane size."""
    shown = " x ".join(f"{s}"[:12] for s in size)
    if min(size) < 1:
        raise DataError(
            f"Expected at least one voxel per axis but got {shown}. Repair the header.", path=name
        )
    voxels = 1
    for length in size:
        voxels *= length
    if voxels > (limit := max_voxels()):
        raise DataError(
            f"Expected at most {limit} voxels but got {shown}. Repair the header, crop the volume, "
            "or raise the limit with MMGLAN_MAX_GIB in the environment.",
            path=name,
        )
