"""`FusedViewsTTA`: boxes as the package ensemble-boxes fuses them, masks back in place."""

import numpy as np
import pytest
import torch
from ensemble_boxes import weighted_boxes_fusion
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmglan.inference.fused_views import FusedViewsTTA
from mmglan.inference.fusion import IOU

H, W = 40, 60


def mask_of(box):
    mask = np.zeros((H, W), bool)
    x1, y1, x2, y2 = np.round(box).astype(int)
    mask[y1:y2, x1:x2] = True
    return mask


def view(boxes, scores, flip=False, direction="horizontal", masks=True):
    """A view of a slice on which there are `boxes`; mirrored, as the detector sees it."""
    boxes = np.array(boxes, float).reshape(-1, 4)
    planes = np.array([mask_of(box) for box in boxes], bool).reshape(-1, H, W)
    if flip:
        boxes[:, [0, 2]] = W - boxes[:, [2, 0]]
        planes = planes[:, :, ::-1].copy()
    instances = InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32),
        scores=torch.tensor(scores, dtype=torch.float32),
        labels=torch.zeros(len(boxes), dtype=torch.long),
    )
    if masks:
        instances.masks = torch.from_numpy(planes)
    meta = dict(ori_shape=(H, W), flip=flip, flip_direction=direction if flip else None)
    return DetDataSample(pred_instances=instances, metainfo=meta)


def merge(*views):
    (sample,) = FusedViewsTTA(torch_model()).merge_preds([list(views)])
    return sample.pred_instances


def torch_model():
    model = torch.nn.Module()
    model.test_step = None
    return model


def test_boxes_are_those_of_ensemble_boxes():
    rng = np.random.default_rng(0)
    for _ in range(50):
        corners = rng.uniform(0, (30, 20), (4, 2))
        one = np.hstack([corners, corners + rng.uniform(4, 20, (4, 2))])
        two = np.clip(one + rng.normal(0, 2, one.shape), 0, (W, H, W, H))
        two[:, 2:] = np.maximum(two[:, 2:], two[:, :2] + 1)
        scores = rng.uniform(0.05, 1, (2, 4))
        found = merge(view(one, scores[0]), view(two, scores[1], flip=True))
        scale = np.array([W, H, W, H])
        boxes, fused, _ = weighted_boxes_fusion(
            [one / scale, two / scale], scores.tolist(), [[0] * 4] * 2, iou_thr=IOU
        )
        order = np.argsort(-fused, kind="stable")
        assert np.allclose(found.scores, fused[order], atol=1e-5)
        assert np.allclose(found.bboxes, boxes[order] * scale, atol=1e-3)


def test_masks_are_mirrored_back():
    box = [5, 10, 20, 30]
    found = merge(view([box], [0.8]), view([box], [0.6], flip=True))
    assert np.allclose(found.bboxes, [box]) and found.scores.tolist() == [pytest.approx(0.7)]
    assert (found.masks.numpy() == mask_of(box)).all()


def test_detections_in_one_view_count_half():
    found = merge(view([], []), view([[5, 10, 20, 30]], [0.6], flip=True))
    assert found.scores.tolist() == [pytest.approx(0.3)]
    assert (found.masks.numpy() == mask_of([5, 10, 20, 30])).all()


def test_nothing_found_and_no_masks():
    found = merge(view([], []), view([], [], flip=True))
    assert found.masks.shape == (0, H, W) and found.bboxes.shape == (0, 4)
    boxes = merge(view([[1, 2, 3, 4]], [0.5], masks=False), view([], [], flip=True, masks=False))
    assert "masks" not in boxes and len(boxes) == 1


def test_other_directions_are_refused():
    with pytest.raises(ValueError, match=r"left to right.*'vertical'"):
        merge(view([], []), view([], [], flip=True, direction="vertical"))
