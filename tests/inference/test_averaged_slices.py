"""Scores of a volume's slices averaged as its config tests them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config

from data_prep.errors import DataError
from data_prep.volumes.geometry import Grid
from data_prep.volumes.volume import Volume
from mmglan.detections.stacking import Stacking
from mmglan.inference.averaged_slices import AveragedSlices, reach_of, stacking_of
from mmglan.inference.linking import Detections2D
from mmglan.inference.volume_detector import VolumeDetector, common_stacking, fused_slices


class ThreeSlices:
    classes = ("node", "cyst")

    def detect(self, array):
        box = np.array([[10.0, 10, 30, 30], [10, 10, 30, 30]])
        yield 0, Detections2D(box, np.array([0.6, 0.3]), np.array([0, 1]), ["a", "b"])
        yield 1, Detections2D(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int), [])
        yield 2, Detections2D(box[:1], np.array([0.9], np.float32), np.array([0]), ["c"])


def test_averaged_class_by_class():
    found = dict(AveragedSlices(ThreeSlices(), reach=2).detect(np.zeros((3, 64, 64))))
    weights = 1 + 2 / 3 + 1 / 3
    assert found[0].scores == pytest.approx([(0.6 + 0.9 / 3) / weights, 0.3 / weights])
    assert found[2].scores == pytest.approx([(0.9 + 0.6 / 3) / weights])
    assert len(found[1].scores) == 0 and found[0].masks == ["a", "b"]


def test_reach_of_a_config():
    assert reach_of(Config({})) == 0
    assert reach_of(Config({"test_evaluator": {"type": "LesionMetric"}})) == 0
    both = [{"type": "CocoMetric"}, {"type": "LesionMetric", "neighbour_reach": 2}]
    assert reach_of(Config({"test_evaluator": both})) == 2


def test_stacking_of_a_config():
    assert stacking_of(Config({})) == Stacking()
    both = [{"type": "CocoMetric"}, {"type": "LesionMetric", "stacking": {"iou": 0.5}}]
    assert stacking_of(Config({"test_evaluator": both})) == Stacking(iou=0.5)


def test_models_that_stack_differently_are_not_fused():
    metrics = [{"stacking": {"score": "mean"}}, {}]
    models = [SimpleNamespace(config=Config({"test_evaluator": metric})) for metric in metrics]
    with pytest.raises(DataError, match=r"score='max'.*score='mean'.* Use them one by one"):
        common_stacking(models)


class WithoutMasks(ThreeSlices):
    def detect(self, array):
        for z, found in super().detect(array):
            yield z, replace(found, masks=None)


def test_lesions_are_linked_as_the_config_says():
    array, spacing = np.zeros((3, 64, 64), np.float32), (1.0, 1.0, 1.0)
    grid = Grid(array.shape[::-1], spacing, (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    volume = Volume(array, spacing, "", grid)
    detector = VolumeDetector.of(WithoutMasks(), threshold=0.1)
    assert len(detector.detect_in(volume)[0].lesions) == 3
    detector.stacking = Stacking(gap=1, score="mean")
    node, cyst = detector.detect_in(volume)[0].lesions
    assert (node.box3d[2], node.box3d[5], node.score) == (0, 2, pytest.approx(0.75))
    assert (cyst.category, cyst.score) == ("cyst", 0.3)


def test_models_that_average_differently_are_not_fused():
    metrics = [{"neighbour_reach": 2}, {}]
    models = [SimpleNamespace(config=Config({"test_evaluator": metric})) for metric in metrics]
    with pytest.raises(DataError, match=r"\(neighbour_reach\) but got \[0, 2\]\. Use them one"):
        fused_slices(models, tta=None)
