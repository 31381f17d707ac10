"""`VolumeDetector`: from the path of a scan to `Findings`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from data_prep.volumes.volume import Volume, read_volume
from mmglan.detections.findings import Findings, ScanGeometry
from mmglan.inference.linking import link_lesions
from mmglan.inference.slice_detector import SliceDetector
from mmglan.version import __version__


class VolumeDetector:
    """Find lesions in scans with a trained detector.

    Args:
        config: Config file of the detector, or the config itself.
        checkpoint: Its weights; None keeps the initial ones.
        threshold: Lowest score of a lesion that is reported.
        min_short_axis_mm: Lesions with a shorter short axis are left out; those without axes stay.
        **options: See `SliceDetector`.

    Example:
        `VolumeDetector("config.py", "epoch_20.pth").detect("scan.nii.gz").lesions`
    """

    def __init__(
        self,
        config: str | os.PathLike | Config,
        checkpoint: str | os.PathLike | None,
        *,
        threshold: float = 0.3,
        min_short_axis_mm: float = 0.0,
        **options: Any,
    ) -> None:
        self.threshold, self.min_short_axis_mm = threshold, min_short_axis_mm
        # A lesion may be seen less clearly on its outer slices than where it is found.
        self.slices = SliceDetector(config, checkpoint, min_score=threshold / 2, **options)
        name = Path(config).stem if isinstance(config, (str, os.PathLike)) else "detector"
        self.model = {"name": name, "version": __version__, "hash": None}
        if checkpoint is not None:
            self.model["hash"] = hashlib.sha256(Path(checkpoint).read_bytes()).hexdigest()

    @classmethod
    def of(
        cls,
        slices: SliceDetector,
        *,
        threshold: float = 0.3,
        min_short_axis_mm: float = 0.0,
        model: Mapping[str, Any] | None = None,
    ) -> VolumeDetector:
        """Make a detector of volumes from anything with `classes` and `detect(array)`."""
        detector = cls.__new__(cls)
        detector.slices, detector.threshold = slices, threshold
        detector.min_short_axis_mm, detector.model = min_short_axis_mm, dict(model or {})
        return detector

    def detect(self, path: str | os.PathLike, *, volume_id: str = "v0001") -> Findings:
        """Read a scan of any format and find its lesions.

        Raises:
            DataError: The scan cannot be read.
        """
        return self.detect_in(read_volume(path), volume_id=volume_id)[0]

    def detect_in(self, volume: Volume, *, volume_id: str = "v0001") -> tuple[Findings, np.ndarray]:
        """Find the lesions of a volume that is read already.

        Returns:
            The findings, and their label map `(Z, Y, X)` on the axial grid.
        """
        lesions, labels = link_lesions(
            dict(self.slices.detect(volume.array)),
            volume,
            threshold=self.threshold,
            classes=self.slices.classes,
            min_short_axis_mm=self.min_short_axis_mm,
        )
        grid = volume.grid
        geometry = ScanGeometry(
            tuple(int(n) for n in volume.array.shape),
            tuple(float(v) for v in volume.spacing_mm),
            tuple(int(n) for n in grid.size),
            tuple(float(v) for v in grid.spacing),
            tuple(float(v) for v in grid.origin),
            tuple(float(v) for v in grid.direction),
        )
        findings = Findings(
            volume_id,
            geometry,
            lesions,
            classes=tuple(self.slices.classes),
            model=self.model,
            threshold=self.threshold,
            warnings=tuple(volume.notes),
        )
        return findings, labels
