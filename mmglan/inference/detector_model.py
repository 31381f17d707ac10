"""A trained detector before it is built: from a model file, or from a config and a checkpoint."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from data_prep.errors import DataError
from mmglan.engine.checkpoint_guard import safe_load
from mmglan.inference.model_file import ModelRecord, read_model_file
from mmglan.inference.plain_config import to_config
from mmglan.shipped_files import find_config
from mmglan.version import __version__


@dataclass(frozen=True, eq=False)
class DetectorModel:
    """Config, weights and what is known of them.

    Attributes:
        config: Config with `model` and `test_dataloader`.
        weights: State dict; None keeps the initial weights.
        normalize: Normalisation of slices, as `prepare --normalize`; None for slices that are
            normalised already.
        name: Name of the config.
        hash: SHA-256 of the model file or checkpoint.
        record: What the model file says; None without one.
    """

    config: Config
    weights: Mapping[str, torch.Tensor] | None
    normalize: str | None = "image"
    name: str = "detector"
    hash: str | None = None
    record: ModelRecord | None = None

    @property
    def description(self) -> dict[str, Any]:
        """Name, version and hash, as findings state them."""
        return {"name": self.name, "version": __version__, "hash": self.hash}

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        metainfo = self.config.test_dataloader.dataset.get("metainfo", {})
        return tuple(metainfo.get("classes", ("lesion",)))


def load_detector_model(
    model: str | os.PathLike | Config,
    checkpoint: str | os.PathLike | None = None,
    *,
    normalize: str | None = None,
) -> DetectorModel:
    """Read a model file, or a config and its checkpoint. No code of weights or model files runs.

    Args:
        model: Model file (`.zip`); or config: a file, the name of one that comes with mmglan, or
            the config itself.
        checkpoint: Weights of the config; None keeps the initial ones.
        normalize: Default that of the model file, `image` for a config.

    Raises:
        DataError: A model file that is refused, or options that it does not go with.
        ValueError: A checkpoint that holds more than weights.
    """
    if not isinstance(model, Config) and Path(model).suffix.lower() == ".zip":
        return _of_file(model, checkpoint, normalize)
    name, config = "detector", model
    if not isinstance(model, Config):
        path = find_config(os.fspath(model))
        name, config = path.stem, Config.fromfile(path)
    weights = digest = None
    if checkpoint is not None:
        content = safe_load(checkpoint, map_location="cpu")
        weights = content.get("state_dict", content) if isinstance(content, dict) else {}
        digest = hashlib.sha256(Path(checkpoint).read_bytes()).hexdigest()
    return DetectorModel(config, weights, normalize or "image", name, digest)


def _of_file(path, checkpoint, normalize) -> DetectorModel:
    if checkpoint is not None:
        raise DataError(
            "Expected a model file without a checkpoint, since it holds its weights. Leave the "
            "checkpoint out.",
            path=path,
        )
    found = read_model_file(path)
    record = found.record
    if normalize not in (None, record.normalize):
        raise DataError(
            f"Expected the normalisation of the model file, {record.normalize}, but got "
            f"{normalize}. Leave --normalize out.",
            path=path,
        )
    config = to_config(record.config)
    return DetectorModel(config, found.weights, record.normalize, record.name, found.hash, record)
