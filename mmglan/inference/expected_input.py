"""What scans a model is for, as its training set shows, and how a scan departs from that."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from data_prep.volumes.volume import Volume

# A scan may lie outside of the training set's range by these shares of its ends.
SPACING_MARGIN = 0.1
SIZE_MARGIN = 0.5
INTENSITY_MARGIN = 1.0

Range = tuple[float, float]


@dataclass(frozen=True)
class ExpectedInput:
    """Ranges over the training set.

    Attributes:
        spacing_mm: Voxel size along x, y, z.
        size: Voxels along x, y, z.
        intensity: 99th percentile of a scan; None where the scans were not given.
        modality: DICOM modalities (`MR`); empty where unknown.
        words: Words of DICOM series descriptions (`t2`); empty where unknown.
    """

    spacing_mm: tuple[Range, Range, Range]
    size: tuple[Range, Range, Range]
    intensity: Range | None = None
    modality: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    def departures(self, volume: Volume, header: Dataset | None = None) -> tuple[str, ...]:
        """Say in one line each how a scan departs from the training set.

        Args:
            volume: The scan.
            header: Header of one of its DICOM images; None for formats without modality and
                description, which are not compared then.
        """
        lines = []
        for name, unit, values, ranges, margin in (
            ("spacing", " mm", volume.spacing_mm, self.spacing_mm, SPACING_MARGIN),
            ("size", " voxels", volume.array.shape[::-1], self.size, SIZE_MARGIN),
        ):
            for axis, value, bounds in zip("xyz", values, ranges, strict=True):
                lines += _outside(f"{name} along {axis}", value, bounds, margin, unit)
        if self.intensity is not None:
            bright = brightness(volume.array)
            lines += _outside("99th percentile", bright, self.intensity, INTENSITY_MARGIN, "")
        if header is not None:
            lines += self._header_departures(header)
        return tuple(lines)

    def _header_departures(self, header: Dataset) -> list[str]:
        lines, modality = [], str(header.get("Modality", ""))
        if self.modality and modality not in self.modality:
            wanted = ", ".join(self.modality)
            lines.append(f"modality {modality or 'unknown'}, but the model is for {wanted}")
        if self.words and not self.words_of([header]) & set(self.words):
            wanted = ", ".join(self.words)
            lines.append(f"series description without any word of the training set's: {wanted}")
        return lines

    @staticmethod
    def words_of(headers: Iterable[Dataset]) -> set[str]:
        """Return the words of the series' descriptions, in lower case."""
        texts = (
            str(header.get(name, ""))
            for header in headers
            for name in ("SeriesDescription", "ProtocolName")
        )
        return {word for text in texts for word in re.findall(r"[a-z][a-z0-9]+", text.lower())}


def brightness(array: np.ndarray) -> float:
    """Return the 99th percentile of a scan."""
    rank = 99 * (array.size - 1) // 100
    return float(np.partition(array, rank, axis=None)[rank])


def range_of(values: Sequence[float]) -> Range:
    """Return the smallest and largest value."""
    return float(min(values)), float(max(values))


def _outside(what: str, value: float, bounds: Range, margin: float, unit: str) -> list[str]:
    low, high = (bounds[0] / (1 + margin), bounds[1] * (1 + margin))
    if low <= value <= high:
        return []
    trained = " to ".join(f"{end:g}" for end in sorted(set(bounds)))
    return [f"{what} is {value:g}{unit}, but the model was trained on {trained}{unit}"]
