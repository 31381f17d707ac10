"""The network of the false-positive reduction, and its file.

B: batch size; D, S: slices and side of a crop.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from data_prep.atomic_files import open_atomically
from data_prep.errors import DataError
from mmglan.detections.stacking import Stacking
from mmglan.engine.checkpoint_guard import safe_load

SCHEMA = "mmglan fpr 1"


class CandidateNet(nn.Module):
    """Three 3D convolutions, mean and maximum over the crop, one score.

    Group norm, so that neither training nor prediction depends on what else is in the batch.
    """

    def __init__(self, channels: int = 16, dropout: float = 0.3) -> None:
        super().__init__()
        layers, width = [], 2
        for stage, out in enumerate((channels, 2 * channels, 4 * channels)):
            stride = (1, 2, 2) if stage == 0 else 2  # slices are thicker than pixels
            layers += [nn.Conv3d(width, out, 3, stride, 1), nn.GroupNorm(4, out), nn.ReLU()]
            width = out
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * width, 1))

    def forward(self, crops: Tensor) -> Tensor:
        """Score crops.

        Args:
            crops: `(B, 2, D, S, S)`.

        Returns:
            `(B,)` log odds of a lesion.
        """
        features = self.features(crops).flatten(2)
        return self.head(torch.cat([features.mean(2), features.amax(2)], 1))[:, 0]


@dataclass(frozen=True, eq=False)
class Reduction:
    """A trained network and how its candidates are made.

    Attributes:
        network: Trained.
        stacking: How detections are stacked to candidates.
    """

    network: CandidateNet
    stacking: Stacking

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all; the same weights give the same bytes."""
        content = {
            "schema": SCHEMA,
            "stacking": asdict(self.stacking),
            "state_dict": self.network.state_dict(),
        }
        with open_atomically(path) as stream:
            torch.save(content, stream)

    @classmethod
    def load(cls, path: Path) -> Reduction:
        """Read a file; nothing in it is run.

        Raises:
            DataError: A file of something else.
            ValueError: A file that holds more than plain values.
        """
        content = safe_load(path, "cpu")
        network = CandidateNet()
        try:
            if content["schema"] != SCHEMA:
                raise ValueError(f"schema {content['schema']!r}")
            network.load_state_dict(content["state_dict"])
            return cls(network.eval(), Stacking(**content["stacking"]))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise DataError(
                f"Expected a file of mmglan fpr train but got another ({error!s:.80}). Train one.",
                path=path,
            ) from None
