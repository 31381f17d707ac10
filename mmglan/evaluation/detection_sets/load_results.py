"""From files of any detector to detection sets: what the commands and the Python API share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mmglan.detections.coco_files import GroundTruth, read_ground_truth
from mmglan.detections.coco_results import group_results, json_blocks, read_results
from mmglan.detections.neighbour_scores import average_results
from mmglan.detections.stacking import Stacking
from mmglan.detections.volume_files import (
    VolumeGroundTruth,
    read_boxes_3d,
    read_volumes,
    stack_results,
    warn_of_parts,
)
from mmglan.evaluation.class_metrics import with_classes
from mmglan.evaluation.detection_sets.detection_set import DetectionSet
from mmglan.evaluation.detection_sets.detection_set_2d import detection_set_of_images
from mmglan.evaluation.detection_sets.label_maps import (
    TrueMap,
    compare_label_maps,
    gt_of_label_maps,
    read_ids,
    read_scores,
)
from mmglan.evaluation.detection_sets.volume_sets import (
    detection_set_of_masks,
    detection_set_of_volumes,
)
from mmglan.evaluation.metric_values import KIND_WORDS
from mmglan.evaluation.protocols import Protocol

STACK_OPTIONS = "--stack-iou, --stack-gap or --stack-score"
Source = str | Path | Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class TestSet:
    """Ground truth of a test set.

    Attributes:
        images: COCO annotations; None without images.
        volumes: 3D lesions; None without volumes.
        gt_masks: Folder of true label maps, `<volume_id>.nii.gz`, if there are any.
        ids: Names of the source volumes by volume id, if label maps are named as these.
        nifti_form: How label maps in NIfTI are read, see `data_prep.read_volume`.
        true_maps: True label maps that were read already, by volume id.
    """

    __test__ = False  # no test of pytest's

    images: GroundTruth | None
    volumes: VolumeGroundTruth | None
    gt_masks: Path | None = None
    ids: dict[str, str] | None = None
    nifti_form: str = "auto"
    true_maps: Mapping[str, TrueMap] = field(default_factory=dict)


def read_test_set(
    gt: str | Path | Mapping[str, Any] | None = None,
    *,
    volumes: str | Path | None = None,
    gt_masks: str | Path | None = None,
    ids: str | Path | None = None,
    nifti_form: str = "auto",
    jobs: int = 1,
    quiet: bool = True,
) -> TestSet:
    """Read the ground truth of a test set.

    Args:
        gt: COCO annotation file, or its content.
        volumes: `volumes_<split>.json`.
        gt_masks: Folder of true label maps; without `volumes`, every map is a volume.
        ids: Table of `data_prep.prepare --ids`, if label maps are named as the source volumes.
        nifti_form: Label maps whose qform and sform disagree, true and predicted ones: refuse them
            (`auto`), or take the form named, `qform` or `sform`.
        jobs: Processes that read label maps.
        quiet: Show no progress.

    Raises:
        FileNotFoundError: A file that is not there.
        ValueError: No ground truth at all, a file that cannot be used, or `ids` or `nifti_form`
            without label maps.
    """
    if gt is None and volumes is None and gt_masks is None:
        raise ValueError("Expected gt, volumes or gt_masks: there is nothing to compare with")
    if ids is not None and gt_masks is None:
        raise ValueError("Expected gt_masks with ids: only label maps are named as source volumes")
    if nifti_form != "auto" and gt_masks is None:
        raise ValueError("Expected --gt-masks with --nifti-form: only label maps are NIfTI files")
    true_maps: dict[str, TrueMap] = {}
    if volumes is not None:
        lesions_3d = read_volumes(volumes)
        if gt_masks is not None and lesions_3d.has_ignored:
            raise ValueError(
                f"{lesions_3d.name}: Expected no lesion with ignore where label maps are compared, "
                "since they hold it as a lesion; compare boxes only, without --gt-masks"
            )
    elif gt_masks is not None:
        lesions_3d, true_maps = gt_of_label_maps(
            gt_masks, nifti_form=nifti_form, jobs=jobs, quiet=quiet
        )
    else:
        lesions_3d = None
    return TestSet(
        images=None if gt is None else read_ground_truth(gt),
        volumes=lesions_3d,
        gt_masks=None if gt_masks is None else Path(gt_masks),
        ids=None if ids is None else read_ids(ids),
        nifti_form=nifti_form,
        true_maps=true_maps,
    )


def load_detection_sets(
    test_set: TestSet,
    predictions: Source | Iterable[Source],
    protocol: Protocol,
    *,
    scores: str | Path | None = None,
    binary_masks: bool = False,
    stacking: Stacking | None = None,
    neighbour_reach: int = 0,
    per_class: bool = False,
    jobs: int = 1,
    quiet: bool = True,
) -> list[DetectionSet]:
    """Read the predictions of one detector.

    Args:
        test_set: Ground truth.
        predictions: COCO result files of boxes and of masks, a JSON file of 3D boxes
            (`volume_id`, `box3d`, `score`), or a folder of label maps: one or several. A list of
            results is taken as the content of a file.
        protocol: Decides which overlaps are needed.
        scores: CSV of the label maps' confidences.
        binary_masks: Label maps are masks, not instances: take their connected components.
        stacking: How 2D results become 3D ones; default as in the paper.
        neighbour_reach: Average the scores of 2D results over the slices up to so many away, see
            `mmglan.detections.neighbour_scores`; 0 keeps them.
        per_class: Divide boxes and masks on images by class, too.
        jobs: Processes that read label maps.
        quiet: Show no progress.

    Returns:
        list[DetectionSet]: Boxes, masks, 3D boxes, 3D masks, as far as there are predictions and
        ground truth.

    Raises:
        FileNotFoundError: A file or label map that is not there.
        ValueError: A file that cannot be used, predictions without ground truth to compare with,
            or an option that these predictions have no use for.
    """
    sources = _sources(predictions)
    _check_options(test_set, sources, scores, binary_masks, stacking, per_class)
    if neighbour_reach and test_set.images is None:
        raise ValueError("Expected --gt with --neighbour-reach; leave it out")
    sets, grouped, work = [], {}, dict(jobs=jobs, quiet=quiet)
    for name, source in sources:
        if _is_folder(source):
            confidences = read_scores(scores) if scores else None
            found = _label_maps(test_set, source, confidences, binary_masks, work)
            sets.append(detection_set_of_masks(test_set.volumes, found, protocol))
            continue
        rows = _boxes_3d(source)
        if rows is not None:
            if test_set.volumes is None:
                raise ValueError(f"{name}: Expected --volumes to compare 3D boxes with")
            boxes = read_boxes_3d(rows, test_set.volumes, name)
            sets.append(detection_set_of_volumes(test_set.volumes, boxes, protocol))
            continue
        images = test_set.images
        if images is None:
            raise ValueError(f"{name}: Expected --gt to compare COCO results with")
        read = read_results if isinstance(source, Path) else partial(group_results, name=name)
        found = read(source, images)
        if neighbour_reach:
            found = average_results(images, found, neighbour_reach)
        masks = found.masks is not None or (not len(found) and ".segm" in name)
        kind = "segm" if masks else "bbox"
        grouped[kind] = found
        one = detection_set_of_images(images, found, kind, protocol, name=name)
        if per_class:
            one = with_classes(one, images, found, protocol, name)
        sets.append(one)
    if neighbour_reach and not grouped:
        raise ValueError("Expected 2D results with --neighbour-reach but got none; leave it out")
    if stacking is not None and not grouped:
        raise ValueError(f"Expected 2D results with {STACK_OPTIONS} but got none; leave them out")
    if test_set.volumes is not None and grouped:
        found = grouped.get("segm", grouped.get("bbox"))
        sets += _of_stacks(test_set, found, "segm" in grouped, protocol, stacking, work)
    _check_one_of_each([one.kind for one in sets], [name for name, _ in sources])
    return sets


def _sources(predictions) -> list[tuple[str, Path | list]]:
    """Name, and content or path, of each prediction."""
    if isinstance(predictions, (str, Path)):
        predictions = [predictions]
    else:
        predictions = list(predictions)
        if all(isinstance(row, Mapping) for row in predictions):
            predictions = [predictions]
    sources = []
    for number, one in enumerate(predictions):
        if not isinstance(one, (str, Path)):
            sources.append((f"predictions[{number}]", list(one)))
            continue
        sources.append((Path(one).name, Path(one)))
    return sources


def _is_folder(source: Path | list) -> bool:
    return isinstance(source, Path) and source.is_dir()


def _check_options(test_set, sources, scores, binary_masks, stacking, per_class):
    """Refuse inputs that these predictions can not use, since they would have no effect."""
    label_maps = any(_is_folder(content) for _, content in sources)
    if (scores or binary_masks) and not label_maps:
        option = "--scores" if scores else "--binary-masks"
        raise ValueError(
            f"Expected a folder of label maps with {option} but got none; leave it out"
        )
    if stacking is not None and (test_set.volumes is None or test_set.images is None):
        raise ValueError(f"Expected --gt and --volumes with {STACK_OPTIONS}; leave them out")
    if per_class and test_set.images is None:
        raise ValueError("Expected --gt with --per-class: volumes have no classes; leave it out")


def _check_one_of_each(kinds, names):
    for kind in kinds:
        if kinds.count(kind) > 1:
            raise ValueError(
                f"Expected one set of {KIND_WORDS[kind]} of one detector but got "
                f"{kinds.count(kind)} from {', '.join(names)}; "
                "evaluate them one after the other (with --volumes, 2D results become 3D boxes too)"
            )


def _boxes_3d(source: Path | list) -> list | None:
    """Return the rows of 3D boxes; None where the first rows are no such."""
    blocks = json_blocks(source) if isinstance(source, Path) else iter([source])
    rows = next(blocks)
    if not any(isinstance(row, dict) and "box3d" in row for row in rows):
        return None
    return [*rows, *(row for block in blocks for row in block)]


def _label_maps(test_set, folder, scores, binary_masks, work):
    if test_set.gt_masks is None:
        raise ValueError(f"{folder.name}: Expected --gt-masks to compare label maps with")
    return compare_label_maps(
        test_set.volumes,
        test_set.gt_masks,
        predicted_folder=folder,
        true_maps=test_set.true_maps,
        scores=scores,
        binary_masks=binary_masks,
        ids=test_set.ids,
        nifti_form=test_set.nifti_form,
        **work,
    )


def _of_stacks(test_set, results, with_masks, protocol, stacking, work):
    """Build sets of stacked 2D results: 3D boxes and, where there are label maps, voxels."""
    images, volumes = test_set.images, test_set.volumes
    warn_of_parts(images, volumes)
    stacks, masks = stack_results(images, results, volumes.ids, stacking)
    boxes = [one.boxes for one in stacks]
    sets = [detection_set_of_volumes(volumes, boxes, protocol)]
    if test_set.gt_masks and with_masks:
        found = compare_label_maps(
            volumes,
            test_set.gt_masks,
            stacks=stacks,
            masks=masks,
            ids=test_set.ids,
            nifti_form=test_set.nifti_form,
            **work,
        )
        sets.append(detection_set_of_masks(volumes, found, protocol))
    return sets
