"""`FusedViewsTTA`: boxes as the package ensemble-boxes fuses them, masks back in place."""

import numpy as np
import pytest
import torch
from ensemble_boxes import weighted_boxes_fusion
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.structures import InstanceData

from mmglan.inference.fused_views import FusedViewsTTA
from mmglan.inference.fusion import IOU
from mmglan.shipped_files import find_config

register_all_modules()

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
    meta = dict(ori_shape=(H, W), view_flip=direction if flip else None)
    return DetDataSample(pred_instances=instances, metainfo=meta)


def merge(*views):
    (sample,) = FusedViewsTTA(torch_model()).merge_preds([list(views)])
    return sample.pred_instances


def torch_model():
    model = torch.nn.Module()
    model.test_step = None
    return model


@pytest.mark.parametrize(
    "name",
    [
        "mask-rcnn_mnv2_fpn_20e_lgg-key",
        "cascade-mask-rcnn_mnv2_fpn_20e_lgg-key",
        "glan_mnv2_fpn_20e_lgg-key",
        "faster-rcnn_mnv2_fpn_20e_lgg-key",
    ],
)
def test_results_of_the_mirrored_slice_are_mirrored(name):
    """Both slices have the same two views, so the results must be each other's mirror image."""
    config = Config.fromfile(find_config(name)).model
    config.backbone.init_cfg = None
    torch.manual_seed(0)
    model = FusedViewsTTA(config).eval()
    for module in model.modules():
        if hasattr(module, "conv_logits"):
            torch.nn.init.constant_(module.conv_logits.bias, 1.0)  # masks that are not empty
    image = torch.randint(0, 255, (3, 128, 128), dtype=torch.uint8)
    straight, mirrored = (predict(model, image), predict(model, image.flip(2)))
    assert len(straight) > 9
    boxes = mirrored.bboxes.clone()
    boxes[:, [0, 2]] = 128 - mirrored.bboxes[:, [2, 0]]
    # Random weights score many boxes nearly alike: they may come in another order.
    distance, partner = torch.cdist(straight.bboxes, boxes).min(1)
    same = distance < 0.1
    assert same.float().mean() > 0.9
    assert torch.allclose(straight.scores[same], mirrored.scores[partner][same], atol=1e-3)
    if "masks" in straight:
        masks = mirrored.masks.flip(2)[partner][same]
        assert masks.any() and (straight.masks[same] != masks).float().mean() < 1e-3


def predict(model, image):
    """The fused detections on an image, from the batch that `TestTimeAug` makes."""
    views = [(image.flip(2), True), (image, False)]
    meta = dict(img_id=1, ori_shape=(128, 128), img_shape=(128, 128), scale_factor=(1.0, 1.0))
    flips = [dict(flip=flip, flip_direction="horizontal" if flip else None) for _, flip in views]
    samples = [[DetDataSample(metainfo={**meta, **flip})] for flip in flips]
    with torch.no_grad():
        (sample,) = model.test_step(dict(inputs=[[v] for v, _ in views], data_samples=samples))
    return sample.pred_instances


def test_views_that_say_nothing_of_flips_are_upright():
    """As a pipeline packs them whose views differ in size only."""

    class Detector(torch.nn.Module):
        def test_step(self, data):
            return [view([[5, 10, 20, 30]], [0.8]).new(metainfo=data["data_samples"][0].metainfo)]

    sample = DetDataSample(metainfo=dict(ori_shape=(H, W)))
    samples = [[sample.clone()], [sample.clone()]]
    (fused,) = FusedViewsTTA(Detector()).test_step(dict(inputs=[[0], [0]], data_samples=samples))
    assert fused.pred_instances.bboxes.tolist() == [[5, 10, 20, 30]]


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
