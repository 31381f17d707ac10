"""Model files: weights, config and what is known about them, in one zip that runs no code.

The archive's comment holds a hash of all bytes before it, `model.json` those of the members. A file
is read only if both fit, its config names parts of detectors alone (`plain_config`) and its
weights, in the safetensors format, are those of the config's model.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import safetensors.torch
import torch

from data_prep.atomic_files import json_bytes, write_bytes
from data_prep.errors import DataError
from mmglan.detections.calibration import Calibration
from mmglan.inference.expected_input import ExpectedInput
from mmglan.inference.model_label import COMMENT_SIZE, LABEL
from mmglan.inference.plain_config import check_config

SCHEMA = 1
RECORD, WEIGHTS, CARD = "model.json", "weights.safetensors", "card.html"
_SOURCE = "Get the file again, or make it again with mmglan package."


@dataclass(frozen=True)
class FrocPoints:
    """FROC curve per volume on the validation set.

    Attributes:
        fp: False positives per volume, rising.
        sensitivity: Share of the lesions found.
        score: Thresholds, falling.
        criterion: When a detection finds a lesion, as the metrics name it (`_IoBB30`).
    """

    fp: tuple[float, ...]
    sensitivity: tuple[float, ...]
    score: tuple[float, ...]
    criterion: str

    def threshold_at(self, fp: float) -> float | None:
        """Return the lowest score with at most `fp` false positives per volume; None if none."""
        scores = [s for f, s in zip(self.fp, self.score, strict=True) if f <= fp]
        return min(scores, default=None)


@dataclass(frozen=True)
class ModelRecord:
    """What a model file says about its weights (`model.json`).

    Attributes:
        name: Name of the training config.
        config: See `plain_config`.
        normalize: Normalisation of slices, as `prepare --normalize`.
        slice_floor: Detections on slices of a lower score are dropped before they are linked.
        froc: Operating points.
        expected: What input the model is for.
        tta: Views with which the operating points and calibration were measured.
        calibration: From scores to probabilities; None where the validation set was too small.
        reliability: `before` and `after` calibration: error, interval, bins; free JSON.
        metrics: Of the validation set: name, value, interval; free JSON.
        validation: Number of patients, volumes, lesions.
        versions: Of the packages that made it.
        members: SHA-256 of the other members.
        schema: See `SCHEMA`.
    """

    name: str
    config: dict[str, Any]
    normalize: str
    slice_floor: float
    froc: FrocPoints
    expected: ExpectedInput
    tta: str | None = None
    calibration: Calibration | None = None
    reliability: dict[str, Any] = field(default_factory=dict)
    metrics: tuple[dict[str, Any], ...] = ()
    validation: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    members: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA


@dataclass(frozen=True, eq=False)
class ModelFile:
    """A model file that was read.

    Attributes:
        record: What it says.
        weights: State dict.
        hash: SHA-256 of `model.json`, which holds those of all other members.
    """

    record: ModelRecord
    weights: Mapping[str, torch.Tensor]
    hash: str


def write_model_file(
    path: str | os.PathLike,
    record: ModelRecord,
    weights: Mapping[str, torch.Tensor],
    pages: Mapping[str, bytes],
) -> str:
    """Write a model file whole or not at all; equal content gives equal bytes.

    Args:
        path: The file.
        record: What is known; `members` is filled in.
        weights: State dict.
        pages: `card.html`, for people.

    Returns:
        Hash of the model.
    """
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}
    members = {WEIGHTS: safetensors.torch.save(plain), **pages}
    hashes = {name: _sha256(content) for name, content in members.items()}
    said = json_bytes(msgspec.to_builtins(replace(record, members=hashes)))
    write_bytes(path, pack({RECORD: said, **members}))
    return _sha256(said)


def pack(members: Mapping[str, bytes]) -> bytes:
    """Return the archive of members, with its hash at the end."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
        archive.comment = LABEL + b"0" * 64
    whole = stream.getvalue()[:-64]
    return whole + _sha256(whole).encode()


def read_model_file(path: str | os.PathLike) -> ModelFile:
    """Read a model file; nothing of it is run, also if someone made it to.

    Raises:
        DataError: The file is damaged, no model file, or names what it may not.
        OSError: It cannot be read.
    """
    path = Path(path)
    members = _members(path, path.read_bytes())
    said = members[RECORD]
    try:
        record = msgspec.json.decode(said, type=ModelRecord)
        if record.schema != SCHEMA:
            raise ValueError(f"schema {record.schema}")
    except (ValueError, RecursionError) as error:
        raise _refused(path, f"a description that cannot be used ({error})") from None
    hashes = {name: _sha256(content) for name, content in members.items() if name != RECORD}
    if hashes != record.members:
        raise _refused(path, "members that are not those it was made with")
    try:
        check_config(record.config)
        weights = safetensors.torch.load(members[WEIGHTS])
    except DataError as error:
        raise DataError(error.message, path=path) from None
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise _refused(path, f"weights that cannot be read ({error})") from None
    return ModelFile(record, weights, _sha256(said))


def _members(path: Path, content: bytes) -> dict[str, bytes]:
    comment, whole = content[-COMMENT_SIZE:], content[:-64]
    if not comment.startswith(LABEL):
        raise _refused(path, "another file, or one that is cut off")
    if _sha256(whole).encode() != content[-64:]:
        raise _refused(path, "a file that was changed")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            names = sorted(entry.filename for entry in entries)
            stored = all(
                entry.compress_type == zipfile.ZIP_STORED and entry.file_size == entry.compress_size
                for entry in entries
            )
            if names != sorted((RECORD, WEIGHTS, CARD)) or not stored:
                raise _refused(path, "other members")
            return {name: archive.read(name) for name in names}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise _refused(path, f"a damaged archive ({error})") from None


def _refused(path: Path, found: str) -> DataError:
    return DataError(f"Expected a model file but got {found}. {_SOURCE}", path=path)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
