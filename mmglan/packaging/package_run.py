"""Make the model file of a training run."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from data_prep.errors import DataError
from mmglan.detections.coco_files import read_json
from mmglan.evaluation.calibration import (
    METHODS,
    Reliability,
    cross_fitted,
    fit_calibration,
    reliability,
)
from mmglan.evaluation.evaluate import evaluate_detections
from mmglan.evaluation.evaluation_record import Evaluation, read_evaluation
from mmglan.evaluation.protocols import get_protocol
from mmglan.experiments.run_directory import latest_checkpoint
from mmglan.inference.detector_model import DetectorModel, load_detector_model
from mmglan.inference.model_file import CARD, FrocPoints, ModelRecord, write_model_file
from mmglan.inference.plain_config import plain_config, to_config
from mmglan.inference.volume_detector import common_stacking, fused_slices
from mmglan.packaging.model_card import card_page
from mmglan.packaging.training_input import expected_input
from mmglan.packaging.validation_set import ValidationResult, read_prepared_volumes, validate

# Calibration needs both kinds of detections of several patients.
LEAST_PATIENTS, LEAST_OF_A_KIND = 5, 5
_PACKAGES = (
    *("mmglan", "torch", "numpy", "safetensors", "mmdet", "mmcv", "mmengine"),
    *("onedl-mmdetection", "onedl-mmcv", "onedl-mmengine"),
)


@dataclass(frozen=True)
class PackageOptions:
    """Options of `mmglan package`.

    Attributes:
        annotations: Folder of the annotation files; None for that of the run's validation set.
        images: Folder of the slices; None for that of the run's validation set.
        scans: Scans that the training set was prepared from; None leaves intensities, modality
            and series descriptions unknown.
        normalize: Normalisation of the slices; None for what `report.json` of the data set says.
        calibration: `isotonic`, `platt`, `none`, or `auto` for what has the smaller squared error
            on held-out patients.
        slice_floor: Detections on slices of a lower score are dropped before they are linked.
        protocol: Its first criterion for volumes decides what is a lesion.
        tta: Views of the slices: None or `flip`.
        test: Also state the reliability on the test set, `test_whole.json`.
        bootstrap: Resamples of patients for the intervals.
        seed: Of the resampling and of the folds of the calibration.
        device, batch_size: See `SliceDetector`.
    """

    annotations: Path | None = None
    images: Path | None = None
    scans: Path | None = None
    normalize: str | None = None
    calibration: str = "auto"
    slice_floor: float = 0.05
    protocol: str = "deeplesion"
    tta: str | None = None
    test: bool = False
    bootstrap: int = 1000
    seed: int = 0
    device: str = "cpu"
    batch_size: int = 8


def package_run(
    run: Path,
    out: Path,
    checkpoint: Path | None = None,
    options: PackageOptions | None = None,
    progress: Callable[[Iterable], Iterable] = iter,
) -> ModelRecord:
    """Measure a trained detector on its validation set and write its model file.

    Args:
        run: Work directory of the training.
        out: Model file, `.zip`.
        checkpoint: Weights; None for the latest checkpoint of the run.
        options: See `PackageOptions`.
        progress: Wraps the loop over the volumes.

    Raises:
        DataError: The run lacks a config, a checkpoint or its validation set.
    """
    options = options or PackageOptions()
    model = _model_of(run, checkpoint)
    dataset = model.config.val_dataloader.dataset
    root = Path(dataset.data_root)
    annotations = options.annotations or (root / dataset.ann_file).parent
    images = options.images or root / dataset.data_prefix.img
    plain = plain_config(model.config)
    prepared = replace(model, config=to_config(plain), normalize=None)
    volumes = read_prepared_volumes(annotations, images)
    expected = expected_input(annotations, options.scans)
    detector = fused_slices(
        [prepared],
        tta=options.tta,
        min_score=options.slice_floor,
        device=options.device,
        batch_size=options.batch_size,
    )
    protocol = get_protocol(options.protocol)
    stacking = common_stacking([prepared])
    found = validate(detector, volumes, protocol, progress, stacking)
    evaluation = evaluate_detections(
        [found.detections], protocol, bootstrap=options.bootstrap, seed=options.seed
    )
    method, panels = calibrate(found, options)
    fitted = None if method is None else fit_calibration(found.scores, found.is_lesion, method)
    if options.test and fitted is not None:
        other = validate(
            detector,
            read_prepared_volumes(annotations, images, "test"),
            protocol,
            progress,
            stacking,
        )
        panels |= _panels(other, other.scores, fitted(other.scores), options, "test set, ")
    record = ModelRecord(
        name=model.name,
        config=plain,
        normalize=options.normalize or _normalization(root, annotations),
        slice_floor=options.slice_floor,
        froc=_froc_points(found),
        expected=expected,
        tta=options.tta,
        calibration=fitted,
        reliability={name: msgspec.to_builtins(panel) for name, panel in panels.items()},
        metrics=(*_rows("validation", evaluation), *_test_rows(run)),
        validation={
            "patients": found.detections.n_patients,
            "volumes": found.detections.n_images,
            "lesions": found.detections.n_lesions,
            "detections": len(found.scores),
        },
        versions=_versions(),
    )
    page = card_page(record, panels)
    write_model_file(out, record, model.weights, {CARD: page.encode()})
    return record


def calibrate(
    found: ValidationResult, options: PackageOptions
) -> tuple[str | None, dict[str, Reliability]]:
    """Choose how scores become probabilities, on patients that were not fitted.

    Returns:
        The method, None if the set is too small or none is wanted; reliability before and after.
    """
    args = (found.is_lesion, found.patient)
    enough = (
        len(np.unique(found.patient)) >= LEAST_PATIENTS
        and found.is_lesion.sum() >= LEAST_OF_A_KIND
        and (~found.is_lesion).sum() >= LEAST_OF_A_KIND
    )
    if options.calibration == "none" or not enough:
        return None, {}
    methods = METHODS if options.calibration == "auto" else (options.calibration,)
    held_out = {
        method: cross_fitted(found.scores, *args, method, seed=options.seed) for method in methods
    }
    method = min(held_out, key=lambda name: np.mean((held_out[name] - found.is_lesion) ** 2))
    return method, _panels(found, found.scores, held_out[method], options)


def _panels(
    found: ValidationResult,
    before: np.ndarray,
    after: np.ndarray,
    options: PackageOptions,
    words: str = "",
) -> dict[str, Reliability]:
    return {
        words + name: reliability(
            values, found.is_lesion, found.patient, n=options.bootstrap, seed=options.seed
        )
        for name, values in (("before", before), ("after", after))
    }


def _model_of(run: Path, checkpoint: Path | None) -> DetectorModel:
    configs = sorted(run.glob("*.py"))
    if len(configs) != 1:
        raise DataError(
            f"Expected the work directory of a training, with one config, but got {len(configs)}."
            " Name the --work-dir of mmglan train.",
            path=run,
        )
    checkpoint = checkpoint or latest_checkpoint(run)
    if checkpoint is None:
        raise DataError(
            "Expected a checkpoint in the work directory but found none. Train, or name one with "
            "--checkpoint.",
            path=run,
        )
    return load_detector_model(configs[0], checkpoint)


def _normalization(root: Path, annotations: Path) -> str:
    for folder in (root, *annotations.parents):
        if (folder / "report.json").is_file():
            return str(read_json(folder / "report.json")["options"]["normalize"])
    raise DataError(
        "Expected report.json of mmglan prepare, which says how slices were normalised, but found"
        " none. Add --normalize.",
        path=root,
    )


def _froc_points(found: ValidationResult) -> FrocPoints:
    curve = found.curve
    columns = (curve.fp, np.nan_to_num(curve.sensitivity), curve.score)
    return FrocPoints(*(tuple(column.tolist()) for column in columns), found.criterion.words)


def _rows(name: str, evaluation: Evaluation) -> list[dict[str, Any]]:
    return [
        {
            "set": name,
            "name": value.name,
            "value": value.value,
            "low": value.interval.low if value.interval else None,
            "high": value.interval.high if value.interval else None,
        }
        for value in evaluation.values
    ]


def _test_rows(run: Path) -> list[dict[str, Any]]:
    """Return the metrics of `mmglan test`, if the run was tested."""
    path = run / "results.metrics.json"
    return _rows("test", read_evaluation(path)) if path.is_file() else []


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
