"""The folders that `mmglan infer` writes, as 3D detections of the volumes of a ground truth."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_prep.errors import DataError
from data_prep.volumes.search.file_names import strip_mask_word
from mmglan.detections.coco_files import read_json
from mmglan.detections.findings import Findings
from mmglan.detections.volume_files import VolumeGroundTruth


def read_findings(folder: str | Path) -> dict[str, Findings]:
    """Read `<folder>/<volume_id>/findings.json` of all scans.

    Raises:
        FileNotFoundError: There is none.
        ValueError: A file that is none of `mmglan infer`.
    """
    found = {}
    for path in sorted(Path(folder).glob("*/findings.json")):
        try:
            found[path.parent.name] = Findings.from_json(read_json(path))
        except ValueError as error:
            raise DataError(str(error), path=path.relative_to(folder)) from None
    if not found:
        raise FileNotFoundError(
            f"{Path(folder).name}: Expected the --out-dir of mmglan infer, with findings.json in a "
            "folder for each scan, but found none"
        )
    return found


def boxes_of_findings(
    findings: Mapping[str, Findings],
    gt: VolumeGroundTruth,
    *,
    scans: Mapping[str, str] | None = None,
    ids: Mapping[str, str] | None = None,
    name: str = "findings",
) -> list[dict[str, Any]]:
    """Return `volume_id`, `box3d`, `score` of all lesions in the volumes of a ground truth.

    Args:
        findings: By pseudonym.
        gt: Volumes that all must be there; findings of others are left out, with a note.
        scans: Scan of each pseudonym, from `mmglan infer --ids`; None if pseudonyms are the
            volumes' own names.
        ids: Scan of each volume, from `mmglan prepare --ids`; None if volumes are named as scans.
        name: For messages.

    Raises:
        DataError: A volume without findings, or findings on another grid.
    """
    keys = {volume_id: _key((ids or {}).get(volume_id, volume_id)) for volume_id in gt.ids}
    by_key: dict[str, str] = {}
    for pseudonym in findings:
        key = _key((scans or {}).get(pseudonym, pseudonym))
        if key in by_key:
            raise DataError(
                f"Expected scans of different names but {by_key[key]} and {pseudonym} have the "
                "same. Evaluate them apart.",
                path=name,
            )
        by_key[key] = pseudonym
    missing = [volume_id for volume_id, key in keys.items() if key not in by_key]
    if missing:
        raise DataError(
            f"Expected findings of every volume of {gt.name} but {len(missing)} of {len(keys)} "
            f"have none (such as {missing[0]}). Run mmglan infer on all of them, and give the "
            "table of its --ids as --findings-ids.",
            path=name,
        )
    others = len(by_key) - len(keys)
    if others:
        print(f"note: {others} scans in {name} are not in {gt.name}: left out", file=sys.stderr)
    rows = []
    for volume_id, size in zip(gt.ids, gt.n_slices or [None] * len(gt.ids), strict=True):
        found = findings[by_key[keys[volume_id]]]
        depth = found.geometry.shape_zyx[0]
        if size is not None and size != depth:
            raise DataError(
                f"Expected findings in the {size} axial slices of {volume_id} but they are of a "
                f"scan of {depth}. Correct --findings-ids.",
                path=name,
            )
        rows += [
            {"volume_id": volume_id, "box3d": list(lesion.box3d), "score": lesion.score}
            for lesion in found.lesions
        ]
    return rows


def _key(scan: str) -> str:
    return strip_mask_word(Path(scan).name)
