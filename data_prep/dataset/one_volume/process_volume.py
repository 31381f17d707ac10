"""One volume of a run, from file to slices and annotations: what a worker does.

A worker holds one volume at a time and writes its slices as 16-bit PNG and, last, one result file
`.state/volumes/<volume_id>.json`. The result carries the key of its task; a later run with the same
key skips the volume.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import SimpleITK as sitk

from data_prep.bookmarks.formats.dicom_labels import read_mask
from data_prep.bookmarks.formats.label_masks import components, pieces_note
from data_prep.dataset import coco_entries
from data_prep.dataset.one_volume import reviewed_marks, volume_lesions
from data_prep.dataset.one_volume.slice_selection import Slices, used_slices
from data_prep.dataset.one_volume.volume_result import HardNegative, SliceResult, VolumeResult
from data_prep.dataset.one_volume.volume_task import VolumeTask
from data_prep.dataset.output_folder import STATE, OutputError, write_output
from data_prep.errors import DataError
from data_prep.paths import resolve_under
from data_prep.volumes.volume import Volume, read_volume


def run(task: VolumeTask) -> str:
    """Process one volume unless its result is there already.

    Returns:
        The volume id. What went wrong with the volume is in its result, for the report.

    Raises:
        OutputError: The output cannot be written; no other volume would fare better.
    """
    cv2.setNumThreads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    volume_id, out_dir = task.source.volume_id, Path(task.out_dir)
    key = task.key()
    if not _is_done(out_dir, volume_id, key):
        # Slices of an earlier state of the volume must not outlive it.
        shutil.rmtree(out_dir / "images" / volume_id, ignore_errors=True)
        result = _process(task)
        result.key = key
        write_output(out_dir, _result_name(volume_id), result.to_json())
    return volume_id


def load_result(out_dir: Path, volume_id: str) -> VolumeResult:
    """Read the result of a volume.

    Raises:
        OSError: There is none.
        ValueError: It is damaged, or of another version.
    """
    return VolumeResult.from_json((out_dir / _result_name(volume_id)).read_bytes())


def _result_name(volume_id: str) -> str:
    return f"{STATE}/volumes/{volume_id}.json"


def _is_done(out_dir: Path, volume_id: str, key: str) -> bool:
    try:
        result = load_result(out_dir, volume_id)
    except (OSError, ValueError):
        return False
    return result.key == key and all(
        (out_dir / "images" / coco_entries.file_name(volume_id, entry.slice_index)).is_file()
        for entry in result.slices
    )


def _process(task: VolumeTask) -> VolumeResult:
    """Make the result; whatever is wrong with the volume is in it."""
    source = task.source
    n_bookmarks = len(source.marks)
    result = VolumeResult(source.volume_id, source.patient_id, n_bookmarks)
    try:
        _fill(task, result)
    except OutputError:
        raise
    except DataError as error:
        result.leave_out(str(_with_rows(error, task)))
    except Exception as error:  # the other volumes must still be finished
        unforeseen = DataError(
            f"Expected a volume that can be processed but got {type(error).__name__}: {error}."
            " Leave this volume out, and report this line.",
            path=source.volume,
        )
        result.leave_out(str(_with_rows(unforeseen, task)))
    return result


def _with_rows(error: DataError, task: VolumeTask) -> DataError:
    """Say which bookmarks are lost with a volume."""
    records = task.source.marks
    if not records:
        return error
    rows: dict[str, list[str]] = {}
    for record in records[:8]:
        rows.setdefault(record.file, []).append(str(record.row))
    lost = "; ".join(f"{file}, rows {', '.join(numbers)}" for file, numbers in rows.items())
    lost += ", …" if len(records) > 8 else ""
    return DataError(
        f"{error.message} Bookmarks left out: {lost}.",
        path=error.path or task.source.volume,
        row=error.row,
        slice_index=error.slice_index,
    )


def _fill(task: VolumeTask, result: VolumeResult) -> None:
    """Read the volume, write its slices, and enter both and the lesions into the result."""
    source, options = task.source, task.options
    path = resolve_under(task.root, source.volume)
    stated = next((r.spacing_mm for r in source.records if r.spacing_mm is not None), None)
    volume = read_volume(
        path,
        root=task.root,
        min_slices=1 if options.single_slices else 2,
        spacing_mm=stated,
        series_rule=options.series_rule,
        modality=options.modality,
        series_description=options.series_description,
        nifti_form=options.nifti_form,
        nan=options.nan,
        philips_scaling=options.philips_scaling,
    )
    result.notes = list(volume.notes)
    result.shape_zyx = [int(n) for n in volume.array.shape]
    result.spacing_mm = spacing = [float(v) for v in volume.spacing_mm]
    result.stored_size = [int(n) for n in volume.stored_size]

    labels = _labels(task, volume, result)
    merged = reviewed_marks.merge(source.records, source.rejected, volume)
    placed, refused = merged.placed, merged.refused
    result.notes += merged.conflicts
    to_ignore = [*source.ignored, *merged.disputed]
    result.ignored, unplaced = volume_lesions.regions_to_ignore(to_ignore, volume)
    refused += unplaced
    result.errors += map(str, refused)
    if source.boxes is not None:
        options = replace(options, whole_volumes=True)
        result.gt_lesions, result.gt_lesions_3d = volume_lesions.of_boxes(source.boxes, volume)
    slices = Slices(volume.array, options.normalize)
    result.lesions = [
        volume_lesions.with_pseudo_mask(
            slices.for_masks(int(mark.slice_index)), mark, spacing[:2], options
        )
        for mark in placed
    ]
    result.propagated = volume_lesions.propagated(
        result.lesions, result.ignored, slices.for_masks, volume, options.propagate
    )
    result.all_known = source.all_known and not refused
    used = used_slices(
        [(lesion.slice_index, lesion.long_axis_mm) for lesion in result.lesions],
        [lesion.slice_index for lesion in result.propagated],
        [(r.slice_index, max(r.bbox[2:]) * max(spacing[:2])) for r in result.ignored],
        labels,
        options,
        len(volume.array),
        spacing[2],
        all_known=result.all_known and source.boxes is None,
        complete=source.complete,
        rejected={int(mark.slice_index) for mark in merged.rejected},
    )
    reached = {int(m.slice_index) for m in merged.rejected} - {
        z for z, kind in used.items() if kind != "extra"
    }
    near = volume_lesions.reaching([*result.lesions, *result.ignored], reached, spacing)
    result.ignored += near
    used |= dict.fromkeys((region.slice_index for region in near), "ignore")
    result.rejected = [
        HardNegative(int(mark.slice_index), list(mark.bookmark.coco_box()))
        for mark in merged.rejected
        if used.get(int(mark.slice_index), "extra") != "extra"
    ]
    for z, kind in sorted(used.items()):
        digest = _write(task, slices.normalized(z), z)
        if kind in ("empty", "rejected") and digest is None:
            kind = "extra"  # a slice that shows nothing: padding, or air in a narrow window
        result.slices.append(SliceResult(z, kind, digest))
    if labels is not None:
        result.gt_lesions = volume_lesions.of_labels(
            labels, sorted(used), spacing[:2], result.lesions
        )
        result.gt_lesions_3d = coco_entries.lesions_3d(labels, spacing)


def _labels(task: VolumeTask, volume: Volume, result: VolumeResult) -> np.ndarray | None:
    """Read the voxel mask `(Z, Y, X)`; one that cannot be used is an error of the result."""
    source = task.source
    if source.mask is None:
        return None
    try:
        path = resolve_under(task.mask_root, source.mask)
        mask = read_mask(
            path,
            volume,
            root=task.mask_root,
            allow_empty=not source.records,
            nifti_form=task.options.nifti_form,
            segments=task.options.segments,
        )
    except DataError as error:
        result.errors.append(str(error))
        return None
    result.notes += mask.notes
    if task.options.binary_masks:
        return components(mask.array)
    if note := pieces_note(mask.array, source.mask):
        result.notes.append(note)
    return mask.array


def _write(task: VolumeTask, pixels: np.ndarray, z: int) -> str | None:
    """Write one slice as 16-bit PNG; return its digest, or None for a slice of one value."""
    _, png = cv2.imencode(".png", pixels)
    name = coco_entries.file_name(task.source.volume_id, z)
    write_output(Path(task.out_dir), f"images/{name}", png.data)
    if pixels.min() == pixels.max():
        return None
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels))
    return digest.hexdigest()[:32]
