"""Nothing is learned from regions to ignore, in any detector of the zoo; unmarked lesions."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS, TASK_UTILS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

import mmglan.models  # noqa: F401

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FILES = sorted(CONFIGS.glob("[!_]*/*.py"))
# Inside the region, half beside it, in the open, on the lesion.
PRIORS = [[10, 10, 30, 30], [22, 10, 42, 30], [70, 70, 90, 90], [60, 10, 80, 30]]
REGION, LESION = [[8, 8, 32, 32]], [[60, 10, 80, 30]]


def boxes(values):
    tensor = torch.tensor(values, dtype=torch.float32).reshape(-1, 4)
    return InstanceData(bboxes=tensor, labels=torch.zeros(len(tensor), dtype=torch.long))


def assigners_of(cfg):
    """Assigner configs of all stages of a detector."""
    train = cfg.model.train_cfg
    stages = [train]
    if "rpn" in train:
        rcnn = train.rcnn if isinstance(train.rcnn, list) else [train.rcnn]
        stages = [train.rpn, *rcnn]
    return [stage.assigner for stage in stages]


def assign(config, priors, lesions, regions, **fields):
    assigner = TASK_UTILS.build(config)
    given = InstanceData(priors=torch.tensor(priors, dtype=torch.float32), **fields)
    if "ATSS" in config.type:
        return assigner.assign(given, [len(priors)], boxes(lesions), boxes(regions)).gt_inds
    return assigner.assign(given, boxes(lesions), boxes(regions)).gt_inds


@pytest.fixture(scope="module", autouse=True)
def _scope():
    init_default_scope("mmdet")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_regions_to_ignore_reach_every_detector(path):
    cfg = Config.fromfile(path)
    head = cfg.model.get("bbox_head") or {}
    if "YOLO" in str(head.get("type")):
        assert head.type == "LesionYOLOV3Head"
        return
    assigners = assigners_of(cfg)
    assert assigners
    for config in assigners:
        for lesions, on_lesion in (([], 0), (LESION, 1)):
            found = assign(config, PRIORS, lesions, REGION).tolist()
            assert found[0] == -1 and found[3] == on_lesion, config.type
            assert found[1] in (0, -1) and found[2] == 0
        assert assign(config, PRIORS, [], []).tolist() == [0, 0, 0, 0]


def test_yolo_learns_no_background_in_a_region():
    cfg = Config.fromfile(next(p for p in FILES if "yolov3" in p.stem))
    model = cfg.model
    head = MODELS.build(dict(model.bbox_head, train_cfg=model.train_cfg, test_cfg=model.test_cfg))
    sizes = [(2, 2), (4, 4), (8, 8)]  # of a slice of 64 x 64
    anchors = head.prior_generator.grid_priors(sizes, device="cpu")
    flags = [torch.zeros(len(level), dtype=torch.uint8) for level in anchors]
    lists = [anchors, anchors], [flags, flags], [boxes([]), boxes([])]
    _, plain = head.get_targets(*lists)
    assert all(level.all() for level in plain)
    region = boxes([[0, 0, 40, 40]])
    head._regions = [boxes([]), region]
    _, negatives = head.get_targets(*lists)
    assert all(level[0].all() for level in negatives)
    (x1, y1, x2, y2), left_out = region.bboxes[0], 0
    for level, kept in zip(anchors, negatives, strict=True):
        width = (torch.minimum(level[:, 2], x2) - torch.maximum(level[:, 0], x1)).clamp(min=0)
        height = (torch.minimum(level[:, 3], y2) - torch.maximum(level[:, 1], y1)).clamp(min=0)
        area = (level[:, 2] - level[:, 0]) * (level[:, 3] - level[:, 1])
        inside = width * height / area > 0.5
        assert torch.equal(kept[1] == 0, inside)
        left_out += int(inside.sum())
    assert left_out > 0


ASSIGNER = dict(
    type="LesionMaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.5, match_low_quality=False
)
FAR, NEAR = [70, 70, 90, 90], [72, 10, 92, 30]  # IoU of the second with the lesion: 0.25


def test_high_scores_far_from_bookmarks_may_be_unmarked_lesions():
    scores = torch.tensor([0.95, 0.5, 0.95, 0.99])
    priors = [FAR, FAR, NEAR, LESION[0]]
    config = Config(dict(ASSIGNER, unmarked_score=0.9))
    assert assign(config, priors, LESION, [], scores=scores).tolist() == [-1, 0, 0, 1]
    # A slice without bookmarks is known to hold no lesion; without scores nothing is known.
    assert assign(config, priors, [], [], scores=scores).tolist() == [0, 0, 0, 0]
    assert assign(config, priors, LESION, []).tolist() == [0, 0, 0, 1]
    assert assign(Config(ASSIGNER), priors, LESION, [], scores=scores).tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("score", [0, 1.5, -1])
def test_scores_out_of_range_are_refused(score):
    with pytest.raises(ValueError, match="unmarked_score"):
        TASK_UTILS.build(dict(ASSIGNER, unmarked_score=score))
