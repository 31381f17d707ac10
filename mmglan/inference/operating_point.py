"""Which score threshold is used, and what a score there means."""

from __future__ import annotations

from dataclasses import dataclass

from data_prep.errors import DataError
from mmglan.detections.calibration import Calibration
from mmglan.inference.model_file import ModelRecord

DEFAULT_THRESHOLD = 0.3
DEFAULT_FP = 2.0


@dataclass(frozen=True)
class OperatingChoice:
    """What follows from the options.

    Attributes:
        threshold: Lowest score of a lesion that is reported.
        slice_floor: Detections on slices of a lower score are dropped.
        calibration: From scores to probabilities; None where there is none.
        remarks: What the reader of the findings must know.
    """

    threshold: float
    slice_floor: float
    calibration: Calibration | None = None
    remarks: tuple[str, ...] = ()


def choose_threshold(
    record: ModelRecord | None,
    threshold: float | None = None,
    fp_per_volume: float | None = None,
    tta: str | None = None,
) -> OperatingChoice:
    """Choose the threshold; see `VolumeDetector`.

    Args:
        record: Of the only model file; None for a config or several models.
        threshold: The user's own.
        fp_per_volume: False positives per volume.
        tta: Views of the slices; those of the model file were measured on other scores if its own
            are different.

    Raises:
        DataError: The options do not go together, or the model has no such operating point.
    """
    if tta not in (None, "flip"):
        raise DataError(f"Expected flip as --tta but got {tta}.")
    if threshold is not None and fp_per_volume is not None:
        raise DataError("Expected --threshold or --fp-per-volume but got both. Leave one out.")
    measured = record is not None and record.tta == tta
    if not measured:
        if fp_per_volume is not None:
            raise DataError(
                "Expected one model file with --fp-per-volume, used as it was measured (--tta), "
                "since other scores have other operating points. Use --threshold."
            )
        threshold = DEFAULT_THRESHOLD if threshold is None else threshold
        remarks = ()
        if record is not None:
            remarks = ("Not calibrated: the model file was measured with other views (--tta).",)
        # A lesion may be seen less clearly on its outer slices than where it is found.
        return OperatingChoice(threshold, threshold / 2, None, remarks)
    if threshold is None:
        fp = DEFAULT_FP if fp_per_volume is None else fp_per_volume
        threshold = record.froc.threshold_at(fp)
        if threshold is None:
            raise DataError(
                f"Expected a threshold with at most {fp:g} false positives per volume but the "
                "model's highest score gives more. Use --threshold, or a larger --fp-per-volume."
            )
    if threshold < record.slice_floor:
        raise DataError(
            f"Expected a threshold of at least {record.slice_floor:g}, the lowest score at which "
            f"the model was measured, but got {threshold:g}. Raise --threshold."
        )
    # The same floor as when the operating points were measured: it decides what is linked.
    return OperatingChoice(threshold, record.slice_floor, record.calibration)
