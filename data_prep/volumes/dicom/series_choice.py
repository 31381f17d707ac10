"""Which DICOM series a user asks for: by modality, by description, by a rule for several."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydicom.dataset import Dataset

SERIES_RULES = ("only", "most-slices", "all")


@dataclass(frozen=True)
class SeriesChoice:
    """What is asked of DICOM series.

    Attributes:
        rule: What to do where several series of one study and folder fit: refuse them (`only`),
            take the longest (`most-slices`), or, in searches below a folder, `all`.
        modality: Only series of this Modality, e.g. `MR`; None for any.
        description: Regular expression that the SeriesDescription must contain, in capitals or
            not; None for any.

    Raises:
        ValueError: An unknown rule, or a description that is no regular expression.
    """

    rule: str = "only"
    modality: str | None = None
    description: str | None = None

    def __post_init__(self) -> None:
        if self.rule not in SERIES_RULES:
            wanted = " or ".join(SERIES_RULES)
            raise ValueError(f"Expected series_rule {wanted} but got {self.rule!r}.")
        try:
            re.compile(self.description or "")
        except re.error as error:
            raise ValueError(
                f"Expected a regular expression in series_description but got another ({error})."
            ) from None

    @property
    def filters(self) -> bool:
        """Whether some series may not fit."""
        return self.modality is not None or self.description is not None

    def fits(self, header: Dataset) -> bool:
        """Say whether the series of an image is one that was asked for.

        >>> header = Dataset()
        >>> header.Modality, header.SeriesDescription = "MR", "AX T2 HASTE"
        >>> SeriesChoice(modality="mr", description="t2.*haste").fits(header)
        True
        """
        modality = str(header.get("Modality", "") or "").strip()
        if self.modality is not None and modality.upper() != self.modality.upper():
            return False
        text = str(header.get("SeriesDescription", "") or "")
        return self.description is None or bool(re.search(self.description, text, re.IGNORECASE))

    def __str__(self) -> str:
        stated = (("--modality", self.modality), ("--series-description", self.description))
        return " ".join(f"{option} {value}" for option, value in stated if value is not None)
