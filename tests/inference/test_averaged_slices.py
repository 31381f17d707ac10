"""Scores of a volume's slices averaged as its config tests them."""

from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config

from data_prep.errors import DataError
from mmglan.inference.averaged_slices import AveragedSlices, reach_of
from mmglan.inference.linking import Detections2D
from mmglan.inference.volume_detector import fused_slices


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


def test_models_that_average_differently_are_not_fused():
    metrics = [{"neighbour_reach": 2}, {}]
    models = [SimpleNamespace(config=Config({"test_evaluator": metric})) for metric in metrics]
    with pytest.raises(DataError, match=r"\(neighbour_reach\) but got \[0, 2\]\. Use them one"):
        fused_slices(models, tta=None)
