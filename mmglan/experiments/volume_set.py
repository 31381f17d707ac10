"""The 3D volume test set (Fig. 6): one setting for every detector, no slice of it in training."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2

from data_prep.dataset.checks import load
from data_prep.errors import DataError

ANN_FILE = "annotations/test_truth.json"


def volume_settings(root: str) -> list[str]:
    """Return the `--cfg-options` that test any config on the volume set prepared in a folder."""
    root = root.rstrip("/") + "/"
    return [
        f"test_dataloader.dataset.data_root={root}",
        f"test_dataloader.dataset.ann_file={ANN_FILE}",
        f"test_evaluator.ann_file={root}{ANN_FILE}",
    ]


def check_volume_set(volumes: Path, training: Sequence[Path]) -> None:
    """Compare the pixels of the volume set with those of training and validation.

    Raises:
        DataError: A slice is in both, or a folder has no annotations.
    """
    tested = dict(_digests(volumes, "test_truth"))
    for root in training:
        for split in ("train", "val"):
            for digest, name in _digests(root, split):
                if digest in tested:
                    raise DataError(
                        f"Expected a test set of other slices but got {tested[digest]}, which is"
                        f" {name} of {split}. Leave its patient out of one of the two.",
                        path=volumes.name,
                    )


def _digests(root: Path, split: str) -> Iterator[tuple[str, str]]:
    for image in load(root / "annotations" / f"{split}.json")["images"]:
        pixels = cv2.imread(str(root / "images" / image["file_name"]), cv2.IMREAD_UNCHANGED)
        if pixels is None:
            raise DataError(
                "Expected a slice but found none. Run mmglan verify on the data set.",
                path=image["file_name"],
            )
        head = repr(pixels.shape).encode()
        yield hashlib.sha256(head + pixels.tobytes()).hexdigest(), image["file_name"]
