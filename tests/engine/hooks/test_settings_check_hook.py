"""Metrics that a config asks for and that no validation would compute."""

import json
from types import SimpleNamespace

import pytest
from mmengine.evaluator import BaseMetric
from mmengine.hooks import CheckpointHook, EarlyStoppingHook

from mmglan.engine.hooks.settings_check_hook import SettingsCheckHook
from mmglan.evaluation.lesion_metric import LesionMetric

LOADER = SimpleNamespace(dataset=[])


class Other(BaseMetric):
    default_prefix = "coco"

    def process(self, data_batch, data_samples):
        raise AssertionError

    compute_metrics = process


@pytest.fixture
def metric(tmp_path):
    lesion = dict(id=1, image_id=1, category_id=1, bbox=[2, 3, 4, 5], area=20, iscrowd=0)
    lesion["segmentation"] = [[2, 3, 6, 3, 6, 8, 2, 8]]
    content = dict(
        images=[dict(id=1, file_name="1.png", width=16, height=16)],
        annotations=[lesion],
        categories=[dict(id=1, name="lesion")],
    )
    (tmp_path / "val.json").write_text(json.dumps(content))
    metric = LesionMetric(str(tmp_path / "val.json"), outfile_prefix=str(tmp_path / "out/results"))
    metric.dataset_meta = dict(classes=("lesion",))
    return metric


def start(metrics, *hooks, with_mask=True):
    evaluator = SimpleNamespace(metrics=metrics)
    model = SimpleNamespace(with_mask=with_mask)
    runner = SimpleNamespace(
        val_loop=SimpleNamespace(evaluator=evaluator),
        hooks=hooks,
        model=model,
        train_dataloader=LOADER,
    )
    SettingsCheckHook().before_train(runner)


def best(*names):
    return CheckpointHook(save_best=list(names), rule="greater")


def test_names_that_are_computed_pass(metric, tmp_path):
    start([metric], best("lesion/bbox_AP25", "lesion/segm_AP50"))
    start([metric], CheckpointHook(save_best="auto"), CheckpointHook())
    start(
        [metric, Other()],
        best("coco/bbox_mAP"),
        EarlyStoppingHook("lesion/bbox_AP50", rule="greater"),
    )
    assert not metric.results and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("hook", "with_mask", "words"),
    [
        (best("lesion/bbox_AP52"), True, r"save_best: .*'lesion/bbox_AP52'\. Did you mean lesion/"),
        (best("coco/bbox_mAP"), True, "save_best: Expected a metric .*'coco/bbox_mAP'"),
        (best("lesion/segm_AP25"), False, "Did you mean lesion/bbox_AP25"),
        (
            EarlyStoppingHook("bbox_AP25", rule="greater"),
            True,
            "EarlyStoppingHook.monitor: .*'bbox_AP25'",
        ),
    ],
)
def test_others_are_refused_with_the_nearest_name(hook, with_mask, words, metric):
    with pytest.raises(ValueError, match=words):
        start([metric], hook, with_mask=with_mask)


def test_other_metrics_and_runs_without_validation_are_let_through(metric):
    start([Other()], best("coco/bbox_mAP"))
    SettingsCheckHook().before_train(SimpleNamespace(val_loop=None, train_dataloader=LOADER))
    with pytest.raises(ValueError, match="save_best"):
        start([metric, Other()], best("lesion/bbox_ap25"))
