"""One volume of a run, from file to slices and annotations: what a worker does.

A worker holds one volume at a time and writes its slices as 16-bit PNG and, last, one result file
`.state/volumes/<volume_id>.json`. The result carries a key made of the volume's files, its
bookmarks and the options; a later run with the same key skips the volume.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from data_prep.atomic_files import json_bytes
from data_prep.bookmarks.locate import place
from data_prep.bookmarks.record import BookmarkRecord
from data_prep.dataset import coco_entries
from data_prep.dataset.output_folder import STATE, OutputError, write_output
from data_prep.dataset.slice_selection import Slices, VolumeOptions, used_slices
from data_prep.errors import DataError
from data_prep.paths import resolve_under, without_series
from data_prep.pseudo_masks.methods import pseudo_mask
from data_prep.volumes.volume import read_labels, read_volume

# Raise it when the same input gives other results than before: earlier results are then made anew.
RESULT_VERSION = 4


@dataclass(frozen=True)
class VolumeTask:
    """What a worker needs to know about one volume; paths are relative to their roots."""

    volume_id: str
    patient_id: str
    root: str
    source: str
    mask_root: str | None
    mask: str | None
    records: tuple[BookmarkRecord, ...]
    options: VolumeOptions
    out_dir: str
    all_known: bool = True

    @property
    def result_name(self) -> str:
        return f"{STATE}/volumes/{self.volume_id}.json"


def run(task: VolumeTask) -> str:
    """Process one volume unless its result is there already.

    Returns:
        The volume id. What went wrong with the volume is in its result, for the report.

    Raises:
        OutputError: The output cannot be written; no other volume would fare better.
    """
    cv2.setNumThreads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    warnings.filterwarnings("ignore", module="pydicom")  # they quote values of the files
    key = _key(task)
    if not _is_done(task, key):
        # Slices of an earlier state of the volume must not outlive it.
        shutil.rmtree(Path(task.out_dir) / "images" / task.volume_id, ignore_errors=True)
        result = _process(task) | {"key": key}
        write_output(Path(task.out_dir), task.result_name, json_bytes(result))
    return task.volume_id


def load_result(out_dir: Path, volume_id: str) -> dict[str, Any]:
    """Read the result of a volume."""
    return json.loads((out_dir / STATE / "volumes" / f"{volume_id}.json").read_bytes())


def _is_done(task: VolumeTask, key: str) -> bool:
    try:
        result = load_result(Path(task.out_dir), task.volume_id)
    except (OSError, ValueError):
        return False
    images = Path(task.out_dir) / "images"
    return result.get("key") == key and all(
        (images / coco_entries.file_name(task.volume_id, s["slice_index"])).is_file()
        for s in result["slices"]
    )


def _key(task: VolumeTask) -> str:
    stated = [
        RESULT_VERSION,
        task.volume_id,
        task.patient_id,
        asdict(task.options),
        [plain(record) for record in task.records],
        task.all_known,
        _fingerprint(task.root, task.source),
        _fingerprint(task.mask_root, task.mask),
    ]
    return hashlib.sha256(json_bytes(stated)).hexdigest()


def plain(record: BookmarkRecord) -> dict[str, Any]:
    """A bookmark as JSON-able values."""
    values = {name: getattr(record, name) for name in record.__slots__}
    return values | {"points": record.points.tolist()}


def _fingerprint(root: str | None, relative: str | None) -> list:
    """Names, sizes and times of the files of a volume: enough to see that they were replaced."""
    if root is None or relative is None:
        return []
    path = Path(root) / without_series(relative)
    listed = []
    try:
        for file in _files(path):
            state = file.stat()
            listed.append([os.path.relpath(file, path), state.st_size, state.st_mtime_ns])
    except OSError as error:  # whoever reads the volume will say so
        listed.append([error.errno])
    return [relative, listed]


def _files(path: Path) -> list[Path]:
    """The files of a volume, sorted."""
    files = [path] if path.is_file() else []
    if path.is_dir():
        files = [p for p in path.rglob("*") if p.is_file()]
    elif path.suffix.lower() in (".mhd", ".nhdr"):  # the voxels are in a file beside it
        files = [p for p in path.parent.iterdir() if p.name.startswith(f"{path.stem}.")]
    return sorted(files)


def _process(task: VolumeTask) -> dict[str, Any]:
    result: dict[str, Any] = {
        "volume_id": task.volume_id,
        "patient_id": task.patient_id,
        "n_bookmarks": len(task.records),
        "errors": [],
        "remarks": [],
        **_nothing(),
    }
    try:
        _fill(task, result)
    except OutputError:
        raise
    except DataError as error:
        result |= _nothing() | {"errors": [*result["errors"], str(_with_rows(error, task))]}
    except Exception as error:  # the other volumes must still be finished
        unforeseen = DataError(
            f"Expected a volume that can be processed but got {type(error).__name__}: {error}."
            " Leave this volume out, and report this line.",
            path=task.source,
        )
        result |= _nothing() | {"errors": [*result["errors"], str(_with_rows(unforeseen, task))]}
    return result


def _nothing() -> dict[str, Any]:
    return {"slices": [], "lesions": [], "truth": None}


def _with_rows(error: DataError, task: VolumeTask) -> DataError:
    """Say which bookmarks are lost with a volume."""
    if not task.records:
        return error
    rows: dict[str, list[str]] = {}
    for record in task.records[:8]:
        rows.setdefault(record.file, []).append(str(record.row))
    lost = "; ".join(f"{file}, rows {', '.join(numbers)}" for file, numbers in rows.items())
    lost += ", …" if len(task.records) > 8 else ""
    return DataError(
        f"{error.message} Bookmarks left out: {lost}.",
        path=error.path or task.source,
        row=error.row,
        slice_index=error.slice_index,
    )


def _fill(task: VolumeTask, result: dict[str, Any]) -> None:
    options = task.options
    path = resolve_under(task.root, task.source)
    stated = next((r.spacing_mm for r in task.records if r.spacing_mm is not None), None)
    volume = read_volume(path, root=task.root, spacing_mm=stated, series_rule=options.series_rule)
    result["remarks"] = list(volume.notes)
    depth = volume.array.shape[0]
    spacing = [float(v) for v in volume.spacing_mm]
    result |= {"shape_zyx": [int(n) for n in volume.array.shape], "spacing_mm": spacing}
    result["stored_size"] = [int(n) for n in volume.stored_size]

    labels = _labels(task, volume, result)
    marks = defaultdict(list)
    for mark in _place_all(task, volume, result):
        marks[int(mark.slice_index)].append(mark)
    reach = [
        (z, mark.bookmark.long_length(spacing[:2])) for z in sorted(marks) for mark in marks[z]
    ]
    known = task.all_known and result["n_bookmarks"] == len(reach)
    used = used_slices(reach, labels, options, depth, spacing[2], all_known=known)
    slices = Slices(volume.array, options.normalize)
    for z, kind in sorted(used.items()):
        if marks[z]:
            image = slices.for_masks(z)
            result["lesions"] += [_lesion(image, m, spacing, options.mask_method) for m in marks[z]]
        written = _write(task, slices.normalized(z), z)
        if kind == "empty" and written["digest"] is None:
            kind = "extra"  # a slice that shows nothing: padding, or air in a narrow window
        result["slices"].append({"slice_index": z, "kind": kind} | written)
    if labels is not None:
        result["truth"] = _truth(labels, sorted(used), spacing)


def _labels(task: VolumeTask, volume, result: dict[str, Any]) -> np.ndarray | None:
    """The true lesions; a mask that cannot be used is an error, and its volume has no truth."""
    if task.mask is None:
        return None
    try:
        mask = resolve_under(task.mask_root, task.mask)
        mask = read_labels(mask, volume, root=task.mask_root, allow_empty=not task.records)
    except DataError as error:
        result["errors"].append(str(error))
        return None
    result["remarks"] += mask.notes
    if not task.options.binary_masks:
        return mask.array
    labels, _ = ndimage.label(mask.array > 0, structure=np.ones((3, 3, 3)))
    return labels


def _place_all(task: VolumeTask, volume, result: dict[str, Any]) -> list:
    """Place the bookmarks; refused and repeated ones become errors."""
    placed, seen = [], {}
    for record in task.records:
        try:
            mark = place(record, volume)
            # From whichever end an axis was drawn.
            points = sorted(map(tuple, np.round(mark.bookmark.points(), 3).tolist()))
            lesion = (mark.slice_index, *points)
            if lesion in seen:
                first = seen[lesion]
                where = "" if first.file == record.file else f"{first.file}, "
                raise DataError(
                    f"Expected each bookmark once but got the one of {where}row {first.row} again."
                    " Remove one of the rows.",
                    path=record.file,
                    row=record.row,
                )
            seen[lesion] = record
            placed.append(mark)
        except DataError as error:
            result["errors"].append(str(error))
    return sorted(placed, key=lambda m: (m.slice_index, m.bookmark.points().ravel().tolist()))


def _lesion(image: np.ndarray, mark, spacing: Sequence[float], method: str) -> dict[str, Any]:
    made = pseudo_mask(image, mark.bookmark, method, spacing_xy=spacing[:2])
    entry = {"slice_index": int(mark.slice_index), "mask_source": made.source}
    entry |= coco_entries.mask_fields(made.mask) | coco_entries.bookmark_fields(
        mark.bookmark, spacing[:2]
    )
    return entry | ({"site": mark.record.site} if mark.record.site else {})


def _write(task: VolumeTask, pixels: np.ndarray, z: int) -> dict[str, Any]:
    """Write one slice as 16-bit PNG; `digest` is None for slices of one value."""
    _, png = cv2.imencode(".png", pixels)
    name = coco_entries.file_name(task.volume_id, z)
    write_output(Path(task.out_dir), f"images/{name}", png.data)
    constant = pixels.min() == pixels.max()
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels))
    return {"digest": None if constant else digest.hexdigest()[:32]}


def _truth(labels: np.ndarray, used: Sequence[int], spacing: Sequence[float]) -> dict[str, Any]:
    """True lesions: on the slices that were written, and in 3D."""
    on_slices = []
    for z in used:
        for label in np.unique(labels[z]):
            if label:
                fields = coco_entries.truth_fields(labels[z] == label, spacing[:2])
                on_slices.append({"slice_index": z, "lesion": int(label)} | fields)
    return {"slices": on_slices, "lesions": coco_entries.lesions_3d(labels, spacing)}
