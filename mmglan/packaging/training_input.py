"""What scans a model is for, read from the set that it was trained on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from data_prep.errors import DataError
from data_prep.volumes.dicom.source import read_source_slices
from data_prep.volumes.search.volume_index import VolumeIndex
from data_prep.volumes.volume import read_volume
from mmglan.detections.coco_files import read_json
from mmglan.inference.expected_input import ExpectedInput, brightness, range_of

# A word belongs to the description of the input if it is in this share of the series.
COMMON = 0.5


def expected_input(annotations: Path, scans: Path | None = None) -> ExpectedInput:
    """Collect the ranges of a training set.

    Args:
        annotations: Folder with `volumes_train.json`.
        scans: Folder of the scans it was prepared from, for intensities, modality and words of
            the series descriptions; None leaves these unknown.

    Raises:
        DataError: No training volumes, or volumes of unknown spacing or shape.
    """
    path = annotations / "volumes_train.json"
    volumes = read_json(path).get("volumes", []) if path.is_file() else []
    known = [v for v in volumes if v.get("spacing_mm") and v.get("shape_zyx")]
    if not known or len(known) < len(volumes):
        raise DataError(
            f"Expected training volumes with spacing_mm and shape_zyx but got {len(known)} of "
            f"{len(volumes)}. Prepare the data with mmglan prepare.",
            path=path,
        )
    spacing = np.array([v["spacing_mm"] for v in known], float)
    size = np.array([v["shape_zyx"][::-1] for v in known], float)
    return ExpectedInput(
        spacing_mm=tuple(range_of(column) for column in spacing.T),
        size=tuple(range_of(column) for column in size.T),
        **({} if scans is None else _of_scans(scans)),
    )


def _of_scans(scans: Path) -> dict:
    bright, modality, words, described = [], set(), Counter(), 0
    for name in VolumeIndex(scans).volumes:
        volume = read_volume(scans / name, root=scans)
        bright.append(brightness(volume.array))
        if volume.slice_uids:
            header = read_source_slices(scans / name, volume, root=scans)[0].header
            modality.add(str(header.get("Modality", "")))
            words.update(ExpectedInput.words_of([header]))
            described += 1
    if not bright:
        raise DataError("Expected scans but found no volume. Correct --scans.", path=scans)
    common = sorted(word for word, count in words.items() if count >= COMMON * described)
    return {
        "intensity": range_of(bright),
        "modality": tuple(sorted(modality - {""})),
        "words": tuple(common),
    }
