"""The metrics as functions on files or lists: `mmglan.evaluate` and `mmglan.compare`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmglan.detections.stacking import Stacking
from mmglan.evaluation.detection_sets.load_results import Source, load_detection_sets, read_test_set
from mmglan.evaluation.evaluate import evaluate_detections
from mmglan.evaluation.evaluation_record import Evaluation
from mmglan.evaluation.protocols import Protocol, get_protocol
from mmglan.evaluation.resampling.comparison import Comparison, compare_kinds


def evaluate(
    gt: str | Path | Mapping[str, Any] | None,
    predictions: Source | Iterable[Source],
    *,
    protocol: str | Protocol = "deeplesion",
    bootstrap: int = 1000,
    volumes: str | Path | None = None,
    gt_masks: str | Path | None = None,
    ids: str | Path | None = None,
    scores: str | Path | None = None,
    binary_masks: bool = False,
    stacking: Mapping[str, Any] | None = None,
    neighbour_reach: int = 0,
    per_class: bool = False,
    nifti_form: str = "auto",
    seed: int = 0,
    level: float = 0.95,
    interval: str = "bca",
) -> Evaluation:
    """Evaluate the predictions of one detector: AP, sensitivity, FROC and recall with intervals.

    Args:
        gt: COCO annotation file or its content; None where only volumes are compared.
        predictions: COCO results of boxes or masks, 3D boxes, or a folder of label maps: one file
            or several, or a list of results.
        protocol: `'deeplesion'`, `'picai'`, `'luna'`, `'centre-in-box'` or a protocol.
        bootstrap: Resamples of patients for the intervals; 0 for none.
        volumes: 3D lesions, `volumes_<split>.json`; 2D results are stacked and compared as well.
        gt_masks: Folder of true label maps.
        ids: Table of `data_prep.prepare --ids`, if label maps are named as the source volumes.
        scores: CSV of the scores of predicted label maps.
        binary_masks: Predicted label maps are masks, not instances.
        stacking: How boxes on slices become lesions: `iou`, `gap` and `score` of
            `mmglan.detections.stacking.Stacking`.
        neighbour_reach: Average scores over the slices up to so many away; 0 does not.
        per_class: Metrics of each class on images, too.
        nifti_form: Form of NIfTI label maps that counts, see `data_prep.read_volume`.
        seed: Of the resampling.
        level: Confidence level.
        interval: `'bca'` or `'percentile'`.

    Returns:
        Evaluation: Counts, metrics, intervals and curves.

    Raises:
        FileNotFoundError: A file that is not there.
        ValueError: Input that cannot be used; file and place are named.

    Examples:
        Two slices with a lesion each. The first is found at score 0.9, on the second there is a
        false positive at 0.8.

        >>> import mmglan
        >>> box = [10, 10, 20, 20]
        >>> gt = {
        ...     'images': [{'id': 1}, {'id': 2}],
        ...     'annotations': [{'image_id': 1, 'bbox': box}, {'image_id': 2, 'bbox': box}],
        ... }
        >>> found = [
        ...     {'image_id': 1, 'bbox': box, 'score': 0.9},
        ...     {'image_id': 2, 'bbox': [60, 60, 20, 20], 'score': 0.8},
        ... ]
        >>> evaluation = mmglan.evaluate(gt, found, bootstrap=0)
        >>> evaluation['bbox_SEN25'].value, evaluation.size.n_lesions
        (0.5, 2)
        >>> [(point.fp, point.score) for point in evaluation.curves[0].operating_points[:3]]
        [(0.125, 0.9), (0.25, 0.9), (0.5, 0.8)]
    """
    protocol = get_protocol(protocol)
    test_set = read_test_set(gt, volumes=volumes, gt_masks=gt_masks, ids=ids, nifti_form=nifti_form)
    sets = load_detection_sets(
        test_set,
        predictions,
        protocol,
        scores=scores,
        binary_masks=binary_masks,
        stacking=None if stacking is None else Stacking(**stacking),
        neighbour_reach=neighbour_reach,
        per_class=per_class,
    )
    return evaluate_detections(
        sets, protocol, bootstrap=bootstrap, seed=seed, level=level, interval=interval
    )


def compare(
    gt: str | Path | Mapping[str, Any] | None,
    first: Source | Iterable[Source],
    second: Source | Iterable[Source],
    *,
    protocol: str | Protocol = "deeplesion",
    bootstrap: int = 1000,
    permutations: int = 1000,
    volumes: str | Path | None = None,
    gt_masks: str | Path | None = None,
    ids: str | Path | None = None,
    first_scores: str | Path | None = None,
    second_scores: str | Path | None = None,
    binary_masks: bool = False,
    stacking: Mapping[str, Any] | None = None,
    neighbour_reach: int = 0,
    nifti_form: str = "auto",
    seed: int = 0,
    level: float = 0.95,
    interval: str = "bca",
) -> Comparison:
    """Compare two detectors on one test set: difference, interval and p-value of each metric.

    Args:
        gt: As in `evaluate`.
        first: Predictions of detector A, as in `evaluate`.
        second: Predictions of detector B, of the same kinds.
        protocol: As in `evaluate`.
        bootstrap: Resamples of patients for the intervals; 0 for none.
        permutations: Exchanges of the two detectors for the p-values; 0 for none.
        volumes: As in `evaluate`.
        gt_masks: As in `evaluate`.
        ids: As in `evaluate`.
        first_scores: CSV of the scores of A's label maps.
        second_scores: CSV of the scores of B's label maps.
        binary_masks: As in `evaluate`.
        stacking: As in `evaluate`.
        neighbour_reach: As in `evaluate`.
        nifti_form: As in `evaluate`.
        seed: Of both.
        level: Confidence level.
        interval: `'bca'` or `'percentile'`.

    Returns:
        Comparison: One difference A - B for each metric.

    Raises:
        FileNotFoundError: A file that is not there.
        ValueError: Input that cannot be used, or other kinds of predictions on either side.

    Examples:
        Detector A finds the lesions of both patients, detector B that of the first one.

        >>> import mmglan
        >>> box = [10, 10, 20, 20]
        >>> gt = {
        ...     'images': [{'id': 1, 'patient_id': 'a'}, {'id': 2, 'patient_id': 'b'}],
        ...     'annotations': [{'image_id': 1, 'bbox': box}, {'image_id': 2, 'bbox': box}],
        ... }
        >>> found = [{'image_id': i, 'bbox': box, 'score': 0.9} for i in (1, 2)]
        >>> comparison = mmglan.compare(gt, found, found[:1], bootstrap=0, permutations=100)
        >>> sensitivity = comparison['bbox_SEN25']
        >>> sensitivity.first, sensitivity.second, sensitivity.difference
        (1.0, 0.5, 0.5)
    """
    protocol = get_protocol(protocol)
    test_set = read_test_set(gt, volumes=volumes, gt_masks=gt_masks, ids=ids, nifti_form=nifti_form)
    sides = []
    for name, side, scores in (("first", first, first_scores), ("second", second, second_scores)):
        try:
            found = load_detection_sets(
                test_set,
                side,
                protocol,
                scores=scores,
                binary_masks=binary_masks,
                stacking=None if stacking is None else Stacking(**stacking),
                neighbour_reach=neighbour_reach,
            )
        except ValueError as error:
            # Both detectors' files often have the same name.
            raise ValueError(f"{name}: {error}") from error
        sides.append(found)
    return compare_kinds(
        sides[0],
        sides[1],
        protocol,
        bootstrap=bootstrap,
        permutations=permutations,
        seed=seed,
        level=level,
        interval=interval,
    )
