"""What a caller may say about how volumes are read; every reader heeds what concerns it."""

from __future__ import annotations

from dataclasses import dataclass

from data_prep.volumes.dicom.series_choice import SeriesChoice
from data_prep.volumes.itk.nifti_geometry import FORMS

NAN_RULES = ("refuse", "fill")
PHILIPS_RULES = ("display", "precise")


@dataclass(frozen=True)
class ReadOptions:
    """How to read a volume; see `data_prep.read_volume` for each.

    Raises:
        ValueError: An unknown choice.
    """

    series_uid: str | None = None
    series_rule: str = "only"
    spacing_mm: tuple[float, float, float] | None = None
    nifti_form: str = "auto"
    nan: str = "refuse"
    philips_scaling: str = "display"
    modality: str | None = None
    series_description: str | None = None

    @property
    def choice(self) -> SeriesChoice:
        """Which DICOM series are asked for."""
        return SeriesChoice(self.series_rule, self.modality, self.series_description)

    def __post_init__(self) -> None:
        allowed = {
            "nifti_form": FORMS,
            "nan": NAN_RULES,
            "philips_scaling": PHILIPS_RULES,
        }
        for name, values in allowed.items():
            if (got := getattr(self, name)) not in values:
                raise ValueError(f"Expected {name} {' or '.join(values)} but got {got!r}.")
        _ = self.choice  # checks itself
