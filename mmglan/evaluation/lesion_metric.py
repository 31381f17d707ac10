"""`LesionMetric`: the metrics of the field from MMDetection's stock test script."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from mmglan import _require_openmmlab  # noqa: F401  # isort: skip

import numpy as np
from mmdet.registry import METRICS
from mmdet.structures.mask import encode_mask_results
from mmengine.dist import is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from mmglan.detections.categories import category_ids
from mmglan.detections.coco_files import read_ground_truth
from mmglan.detections.coco_results import Results, write_results
from mmglan.detections.neighbour_scores import average_results
from mmglan.detections.stacking import Stacking
from mmglan.detections.volume_files import read_volumes, stack_results, warn_of_parts
from mmglan.evaluation.class_metrics import with_classes
from mmglan.evaluation.detection_sets.detection_set_2d import detection_set_of_images
from mmglan.evaluation.detection_sets.volume_sets import (
    detection_set_of_slices,
    detection_set_of_volumes,
)
from mmglan.evaluation.evaluate import evaluate_detections
from mmglan.evaluation.evaluation_record import write_evaluation
from mmglan.evaluation.protocols import get_protocol
from mmglan.evaluation.text_table import format_evaluation

IOU_TYPES = ("bbox", "segm")


@METRICS.register_module()
class LesionMetric(BaseMetric):
    """AP, SEN, FROC and recall of boxes and masks, by patient with confidence intervals.

    All images of the annotation file count, also those without lesions or predictions. All classes
    of the model are taken as one (lesion), with `per_class` also each for itself; annotations of
    other categories are left out, as in training. Result files hold the categories' ids of the
    annotation file, found by the classes' names. Names of the metrics: docs/metrics.md.

    Args:
        ann_file: COCO annotation file of the test set.
        iou_types: `'bbox'`, `'segm'` or both; masks are left out where the model predicts none.
        outfile_prefix: If given, `<prefix>.bbox.json` and `<prefix>.segm.json` (COCO results) and
            `<prefix>.metrics.json` (metrics, intervals, curves) are written.
        bootstrap: Resamples of patients for the intervals; 0 for none.
        protocol: `'deeplesion'`, `'picai'`, `'luna'` or `'centre-in-box'`.
        volumes_file: `volumes_<split>.json`. If given, detections are stacked over the slices and
            compared in 3D as well (`bbox3d_...`; `segm3d_...` where the masks of the test set name
            their 3D lesion); the test set should hold whole volumes.
        neighbour_reach: Scores are averaged with those at the same place on the slices up to so
            many away, see `mmglan.detections.neighbour_scores`; 0 keeps them. The test set should
            hold whole volumes. Result files have the new scores.
        stacking: How detections are stacked: `iou`, `gap` and `score` of
            `mmglan.detections.stacking.Stacking`. Default as in the paper.
        seed: Of the resampling.
        level: Confidence level of the intervals.
        interval: `'bca'` or `'percentile'`.
        per_class: Metrics of each class, too, and their mean: `bbox_AP50_<class>`,
            `bbox_AP50_class mean`.
        collect_device: `'cpu'` or `'gpu'`, see MMEngine.
        prefix: Put before the names, `lesion` by default.
    """

    default_prefix = "lesion"

    def __init__(
        self,
        ann_file: str,
        iou_types: str | Sequence[str] = IOU_TYPES,
        outfile_prefix: str | None = None,
        bootstrap: int = 0,
        protocol: str = "deeplesion",
        volumes_file: str | None = None,
        neighbour_reach: int = 0,
        stacking: dict | None = None,
        seed: int = 0,
        level: float = 0.95,
        interval: str = "bca",
        per_class: bool = False,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ):
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.iou_types = (iou_types,) if isinstance(iou_types, str) else tuple(iou_types)
        unknown = set(self.iou_types) - set(IOU_TYPES)
        if unknown or not self.iou_types:
            raise ValueError(f"Expected iou_types of {IOU_TYPES} but got {iou_types!r}")
        self.gt = read_ground_truth(ann_file)
        self.volumes = read_volumes(volumes_file) if volumes_file else None
        if self.volumes is not None:
            warn_of_parts(self.gt, self.volumes)
        self.outfile_prefix = outfile_prefix
        self.dropped = 0
        self.per_class, self.neighbour_reach = per_class, neighbour_reach
        self.stacking = Stacking(**(stacking or {}))
        self.protocol = get_protocol(protocol)
        self.options = dict(bootstrap=bootstrap, seed=seed, level=level, interval=interval)

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Turn the predictions of a batch into COCO results.

        Args:
            data_batch: Not used.
            data_samples: With `img_id` and `pred_instances`: `bboxes` `(n, 4)` corners in pixels
                of the original image, `scores` and `labels` `(n,)`, maybe `masks` `(n, H, W)` bool
                or encoded.
        """
        for sample in data_samples:
            found = sample["pred_instances"]
            boxes = found["bboxes"].detach().cpu().numpy().astype(np.float64)
            scores = found["scores"].detach().cpu().numpy().astype(np.float64)
            labels = found["labels"].detach().cpu().numpy().astype(np.int64)
            masks = found.get("masks") if "segm" in self.iou_types else None
            if masks is not None and not isinstance(masks, list):
                masks = encode_mask_results(masks.detach().cpu().numpy())
            finite = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
            self.dropped += int((~finite).sum())
            if masks is not None:
                masks = [mask for mask, good in zip(masks, finite, strict=True) if good]
            boxes, scores, labels = boxes[finite], scores[finite], labels[finite]
            self.results.append(
                dict(
                    image_id=_plain_id(sample["img_id"]),
                    boxes=np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]),
                    scores=scores,
                    labels=labels,
                    masks=None if masks is None else [_text_rle(mask) for mask in masks],
                )
            )

    def evaluate(self, size: int) -> dict[str, float]:
        """Collect the results of all processes; see MMEngine."""
        if self.dropped:
            warnings.warn(
                f"{self.dropped} predictions were left out: their box or score is not finite. "
                "Has the training diverged?",
                stacklevel=2,
            )
            self.dropped = 0
        return super().evaluate(size)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Compute all metrics from the results of all processes.

        Args:
            results: What `process` collected.

        Returns:
            dict[str, float]: Metrics as fractions, full precision.
        """
        logger = MMLogger.get_current_instance()
        ids = self._category_ids(results)
        gt = self.gt.of_categories(ids) if self.gt.categories else self.gt
        once = {result["image_id"]: result for result in reversed(results)}
        if len(once) < len(results):
            warnings.warn(
                f"{self.gt.name}: {len(results) - len(once)} results are of an image that was "
                "tested before; the first ones count",
                stacklevel=2,
            )
        results = list(once.values())
        missing = len(self.gt.images) - len(results)
        if missing:
            warnings.warn(
                f"{self.gt.name}: {missing} of {len(self.gt.images)} images were not "
                "tested; they count as images without predictions",
                stacklevel=2,
            )
        sets = []
        for kind in self.iou_types:
            if kind == "segm" and not _has_masks(results):
                logger.info("No masks were predicted: metrics of boxes only.")
                continue
            if kind == "bbox" and _only_masks(results):
                logger.info("Masks without boxes were predicted: no metrics of boxes.")
                continue
            if kind == "segm" and not gt.has_masks:
                logger.info(f"{gt.name} has no masks: metrics of boxes only.")
                continue
            found = self.coco_results(results, kind)
            if self.neighbour_reach:
                found = average_results(gt, found, self.neighbour_reach)
            if self.outfile_prefix:
                write_results(f"{self.outfile_prefix}.{kind}.json", found, gt)
            one = detection_set_of_images(gt, found, kind, self.protocol)
            if self.per_class:
                one = with_classes(one, gt, found, self.protocol)
            sets.append(one)
            if kind == "bbox" and self.volumes is not None:
                stacks, _ = stack_results(gt, found, self.volumes.ids, self.stacking)
                boxes = [one.boxes for one in stacks]
                sets.append(detection_set_of_volumes(self.volumes, boxes, self.protocol))
            if kind == "segm" and self.volumes is not None:
                in_3d = detection_set_of_slices(
                    gt, found, self.volumes, self.protocol, self.stacking
                )
                sets += [] if in_3d is None else [in_3d]
        evaluation = evaluate_detections(sets, self.protocol, **self.options)
        if self.outfile_prefix:
            write_evaluation(evaluation, f"{self.outfile_prefix}.metrics.json")
        if is_main_process():
            logger.info("\n" + format_evaluation(evaluation))
        return evaluation.by_name()

    def coco_results(self, results: list[dict], kind: str) -> Results:
        """Return what `process` collected as results of the images of `gt`.

        Args:
            results: Collected, of all processes, each image once.
            kind: `'bbox'` or `'segm'`: without or with masks.
        """
        return _results(results, kind, self._category_ids(results), self.gt)

    def _category_ids(self, results: list[dict]) -> list[int]:
        """Return the category of each label: of the data set's classes, else the file's own."""
        highest = max((result["labels"].max(initial=-1) for result in results), default=-1)
        classes = (self.dataset_meta or {}).get("classes")
        if classes is None:
            ids = list(self.gt.categories) or list(range(1, highest + 2))
        else:
            classes = [classes] if isinstance(classes, str) else list(classes)
            ids = category_ids(classes, self.gt.categories, self.gt.name)
        if highest >= len(ids):
            raise ValueError(
                f"{self.gt.name}: Expected labels of {len(ids)} classes but the model predicts "
                f"label {highest}; set num_classes={len(ids)}"
            )
        return ids


def _has_masks(results):
    """Whether the model predicts masks; unknown, then no, where it predicts nothing at all."""
    return any(result["masks"] is not None for result in results)


def _only_masks(results):
    """Whether every prediction is a mask with a box of no size, as detectors without boxes give."""
    masks = [result for result in results if result["masks"] is not None and len(result["scores"])]
    return bool(masks) and not any(np.any(result["boxes"][:, 2:] > 0) for result in masks)


def _plain_id(image_id):
    """Return an id as a number or text, as in the annotation file."""
    return image_id if isinstance(image_id, str) else int(image_id)


def _text_rle(mask):
    counts = mask["counts"]
    return dict(
        size=[int(side) for side in mask["size"]],
        counts=counts.decode() if isinstance(counts, bytes) else counts,
    )


def _results(results, kind, category_of, gt) -> Results:
    category_of, parts = np.array(category_of, dtype=np.int64), []
    for result in results:
        place, count = gt.position.get(result["image_id"]), len(result["scores"])
        if place is None:
            raise ValueError(
                f"{gt.name}: Expected the id of an image of this file but the test set has "
                f"image {result['image_id']!r}; let dataloader and evaluator name one file"
            )
        masks = result["masks"] if kind == "segm" else None
        category = category_of[result["labels"]]
        image = np.full(count, place)
        parts.append(Results(image, result["boxes"], result["scores"], category, masks))
    return Results.of_parts(parts)
