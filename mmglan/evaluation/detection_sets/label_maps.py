"""Folders of label maps: one file per volume, one label per lesion or detection."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from data_prep.bookmarks.formats.dicom_labels import refuse_objects
from data_prep.csv_rows import open_table
from data_prep.dataset.coco_entries import lesions_3d
from data_prep.parallel import run_tasks
from data_prep.paths import check_relative, resolve_under
from data_prep.shown_text import cell_text
from data_prep.volumes.geometry import Grid
from data_prep.volumes.labelled_voxels import LabelledVoxels, labelled_voxels
from data_prep.volumes.search.volume_index import VolumeIndex, strip_suffix
from data_prep.volumes.volume import Volume, read_label_volume
from mmglan.detections.stacking import Stacks
from mmglan.detections.volume_files import VolumeGroundTruth, ended
from mmglan.evaluation.detection_sets.detection_set_3d import (
    VolumeInstances,
    connected_instances,
    instances_of_stacks,
    instances_of_voxels,
)

# Lesions are small: what is kept of a true map with more labelled voxels would fill the memory.
MAX_KEPT_VOXELS = 2**15


@dataclass(frozen=True, eq=False)
class TrueMap:
    """What comparing needs of a true label map.

    Attributes:
        grid: Its grid.
        voxels: Its labelled voxels.
    """

    grid: Grid
    voxels: LabelledVoxels


def read_ids(path: str | Path) -> dict[str, str]:
    """Read the source volumes' names by volume id from the table of `data_prep.prepare --ids`."""
    name = Path(path).name
    reader = _table(path)
    missing = sorted({"volume_id", "volume"} - set(reader.fieldnames or []))
    if missing:
        raise ValueError(f"{name}: Expected columns volume_id, volume but got no {missing}")
    return {row["volume_id"]: cell_text(row["volume"] or "") for row in reader}


def _table(path: str | Path) -> csv.DictReader:
    """Read a CSV file as UTF-8, with or without the byte order mark of a spreadsheet."""
    try:
        return csv.DictReader(open_table(Path(path)))
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{Path(path).name}: Expected UTF-8 text but got another encoding ({error.reason} at "
            f"byte {error.start}); save it as UTF-8"
        ) from error


def label_map(
    folder: str | Path | VolumeIndex,
    volume_id: str,
    binary_masks: bool = False,
    ids: Mapping[str, str] | None = None,
    nifti_form: str = "auto",
) -> Volume:
    """Read the label map of a volume from a folder, on the axial grid.

    Args:
        folder: With files `<volume_id>.nii.gz`, or of another volume format; the index of it
            where several are read.
        volume_id: The volume.
        binary_masks: Number the connected components.
        ids: Names of the source volumes; maps may also be named as these.
        nifti_form: See `data_prep.read_volume`.

    Raises:
        FileNotFoundError: There is none.
    """
    maps = folder if isinstance(folder, VolumeIndex) else VolumeIndex(folder)
    folder = maps.root
    found = next(filter(None, map(maps.by_path, _names(volume_id, ids))), None)
    if found is not None:
        path = resolve_under(folder, found)
        volume = read_label_volume(path, root=folder, allow_empty=True, nifti_form=nifti_form)
        for note in volume.notes:
            warnings.warn(note, stacklevel=2)
        if binary_masks:
            array = connected_instances(volume.array)
            volume = Volume(array, volume.spacing_mm, volume.source_id, volume.grid)
        return volume
    raise FileNotFoundError(
        f"{folder.name}: Expected a label map of volume {volume_id} ({volume_id}.nii.gz) but "
        "there is none; write an empty one if nothing was found, or name the ids file if maps "
        "are named as the source volumes"
    )


def _names(volume_id: str, ids: Mapping[str, str] | None) -> list[str]:
    """Return the paths, of whatever ending, that the label map of a volume may have."""
    named = [ids[volume_id]] if volume_id in (ids or {}) else []
    return [check_relative(name) for name in (volume_id, *named)]


def _warn_of_others(
    maps: VolumeIndex, gt: VolumeGroundTruth, ids: Mapping[str, str] | None
) -> None:
    """Warn of label maps that belong to no volume of the ground truth and are not used."""
    known = {maps.by_path(name) for volume_id in gt.ids for name in _names(volume_id, ids)}
    others = [name for name in maps.label_maps if name not in known]
    if others:
        warnings.warn(
            f"{maps.root.name}: {len(others)} of {len(maps.label_maps)} label maps belong to no "
            f"volume of {gt.name} and are left out, the first: {others[0]}",
            stacklevel=3,
        )


def gt_of_label_maps(
    folder: str | Path, *, nifti_form: str = "auto", jobs: int = 1, quiet: bool = True
) -> tuple[VolumeGroundTruth, dict[str, TrueMap]]:
    """Read 3D ground truth from a folder of label maps; every volume counts as a patient.

    Returns:
        tuple: The ground truth, and by volume id what `compare_label_maps` needs of the maps with
        at most `MAX_KEPT_VOXELS` labelled voxels.
    """
    folder = Path(folder)
    refuse_objects(folder)
    index = VolumeIndex(folder)
    ids = sorted(set(map(strip_suffix, index.label_maps)))
    if not ids:
        raise FileNotFoundError(
            f"{folder.name}: Expected a folder of label maps (*.nii.gz) but found none"
        )
    found = _of_each(partial(_lesions_of, index, nifti_form), ids, "true label maps", jobs, quiet)
    spacing, boxes, axes, maps = zip(*found, strict=True)
    gt = VolumeGroundTruth(
        folder.name, ids, np.arange(len(ids)), np.array(spacing), list(boxes), list(axes)
    )
    return gt, {name: kept for name, kept in zip(ids, maps, strict=True) if kept is not None}


def _lesions_of(index: VolumeIndex, nifti_form: str, volume_id: str) -> tuple:
    """Return spacing, boxes, short axes, and what is kept of a volume's true label map."""
    volume = label_map(index, volume_id, nifti_form=nifti_form)
    voxels = labelled_voxels(volume.array)
    lesions = lesions_3d(volume.array, volume.spacing_mm, voxels)
    axes = np.array([lesion.short_axis_mm for lesion in lesions])
    kept = TrueMap(volume.grid, voxels) if len(voxels.index) <= MAX_KEPT_VOXELS else None
    return volume.spacing_mm, ended([lesion.box3d for lesion in lesions]), axes, kept


def _of_each(function, tasks: Sequence, description: str, jobs: int, quiet: bool) -> list:
    """Return `function(task)` of each task in their order, computed in `jobs` processes."""
    numbered = partial(_numbered, function)
    options = dict(jobs=jobs, description=description, progress=not quiet)
    found = dict(run_tasks(numbered, list(enumerate(tasks)), **options))
    return [found[number] for number in range(len(tasks))]


def _numbered(function, task: tuple) -> tuple:
    return task[0], function(task[1])


def read_scores(path: str | Path) -> dict[str, dict[int, float]]:
    """Read the scores of label maps' labels: a CSV with columns volume_id, label, score."""
    name = Path(path).name
    scores: dict[str, dict[int, float]] = {}
    reader = _table(path)
    missing = {"volume_id", "label", "score"} - set(reader.fieldnames or [])
    if missing:
        raise ValueError(f"{name}: Expected columns volume_id, label, score; no {missing}")
    for line, row in enumerate(reader, 2):
        try:
            label, score = int(row["label"]), float(row["score"])
        except (TypeError, ValueError):
            label, score = 0, float("nan")
        if not np.isfinite(score):
            raise ValueError(
                f"{name}, row {line}: Expected a label and a finite score "
                f"but got {row['label']!r} and {row['score']!r}"
            )
        of_volume = scores.setdefault(row["volume_id"], {})
        if label in of_volume:
            raise ValueError(
                f"{name}, row {line}: Expected one score for each label but label {label} "
                f"of volume {row['volume_id']} is there again"
            )
        of_volume[label] = score
    return scores


def compare_label_maps(
    gt: VolumeGroundTruth,
    gt_folder: str | Path,
    *,
    predicted_folder: str | Path | None = None,
    true_maps: Mapping[str, TrueMap] | None = None,
    scores: dict[str, dict[int, float]] | None = None,
    stacks: list[Stacks] | None = None,
    masks: list[dict] | None = None,
    binary_masks: bool = False,
    ids: Mapping[str, str] | None = None,
    nifti_form: str = "auto",
    jobs: int = 1,
    quiet: bool = True,
) -> list[VolumeInstances]:
    """Compare the voxel instances of every volume.

    Args:
        gt: Volumes wanted.
        gt_folder: Their true label maps.
        true_maps: Those that were read before, with `predicted_folder`.
        predicted_folder: Predicted label maps; or else
        stacks: stacked results of each volume with
        masks: their masks.
        scores: Confidences by volume and label, see `read_scores`.
        binary_masks: Predicted maps are not instances: number their connected components.
        ids: Names of the source volumes by volume id.
        nifti_form: See `data_prep.read_volume`.
        jobs: Processes.
        quiet: Show no progress.
    """
    true_index, true_maps = VolumeIndex(gt_folder), true_maps or {}
    named = dict(ids=ids, nifti_form=nifti_form)
    if predicted_folder is None:
        compare = partial(_compare_stacks, true_index, named)
        tasks = list(zip(gt.ids, stacks, masks, strict=True))
    else:
        refuse_objects(Path(predicted_folder))
        predicted_maps = VolumeIndex(predicted_folder)
        _warn_of_others(predicted_maps, gt, ids)
        compare = partial(_compare_maps, true_index, predicted_maps, binary_masks, named)
        tasks = [
            (name, true_maps.get(name), None if scores is None else scores.get(name, {}))
            for name in gt.ids
        ]
    return _of_each(compare, tasks, "label maps", jobs, quiet)


def _compare_stacks(true_index, named, task) -> VolumeInstances:
    volume_id, stacks, masks = task
    true_map = label_map(true_index, volume_id, **named)
    try:
        return instances_of_stacks(stacks, masks, true_map.array)
    except ValueError as error:
        raise ValueError(f"volume {volume_id}: {error}") from error


def _compare_maps(true_index, predicted_maps, binary_masks, named, task) -> VolumeInstances:
    volume_id, true_map, scores = task
    if true_map is None:
        volume = label_map(true_index, volume_id, **named)
        true_map = TrueMap(volume.grid, labelled_voxels(volume.array))
    try:
        predicted = label_map(predicted_maps, volume_id, binary_masks, **named)
        difference = predicted.grid.difference_from(true_map.grid)
        if difference:
            raise ValueError(f"Expected the grid of the ground truth with {difference}")
        return instances_of_voxels(labelled_voxels(predicted.array), true_map.voxels, scores)
    except ValueError as error:
        raise ValueError(f"volume {volume_id}: {error}") from error
