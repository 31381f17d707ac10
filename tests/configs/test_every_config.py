"""Every config of the zoo trains and predicts, in its small form, on a prepared data set."""

import math
from pathlib import Path

import pytest
import torch
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner

from mmglan.experiments.shrink import shrink

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FILES = sorted(CONFIGS.glob("[!_]*/*.py"))


@pytest.fixture(autouse=True)
def _no_folds(monkeypatch):
    """The tiny set is divided once: no folder of a fold."""
    monkeypatch.setenv("MMGLAN_FOLD", ".")


def tensors_without_gradient(model: torch.nn.Module) -> list[str]:
    """Trainable parameters that the last backward pass has not reached: DDP would hang on them."""
    return [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_loads_an_epoch(path, tiny_data):
    """Through the loader that a runner builds: samplers and collation included."""
    loader_cfg = shrink(Config.fromfile(path), tiny_data).train_dataloader
    with_empty = not loader_cfg.dataset.filter_cfg.filter_empty_gt
    loader = Runner.build_dataloader(loader_cfg, seed=0)
    samples = [sample for batch in loader for sample in batch["data_samples"]]
    counts = [len(sample.gt_instances) for sample in samples]
    paths = {sample.img_path for sample, count in zip(samples, counts, strict=True) if count}
    assert len(loader) == math.ceil(len(samples) / loader_cfg.batch_size)
    instances = [loader.dataset.get_data_info(i)["instances"] for i in range(len(loader.dataset))]
    assert len(paths) == sum(map(bool, instances)) > 2
    assert (0 in counts) == with_empty


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_trains_and_predicts(path, tiny_data):
    cfg = shrink(Config.fromfile(path), tiny_data)
    torch.manual_seed(0)
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    model.init_weights()
    # MMCV's operators for the CPU take float32 only: the mixed-precision config runs without it.
    cfg.optim_wrapper.type = "OptimWrapper"
    cfg.optim_wrapper.pop("loss_scale", None)
    optim = build_optim_wrapper(model, cfg.optim_wrapper)

    dataset_cfg = cfg.train_dataloader.dataset
    dataset_cfg.filter_cfg.filter_empty_gt = False
    train = DATASETS.build(dataset_cfg)
    filled = [i for i in range(len(train)) if train.get_data_info(i)["instances"]]
    empty = [i for i in range(len(train)) if not train.get_data_info(i)["instances"]]
    assert len(filled) >= 2 and len(empty) >= 2

    model.train()
    for indices in (filled[:2], empty[:2], [filled[0], empty[0]]):
        data = model.data_preprocessor(pseudo_collate([train[i] for i in indices]), True)
        total, logs = model.parse_losses(model(**data, mode="loss"))
        assert torch.isfinite(total), f"loss of images {indices}: {logs}"
        model.zero_grad()
        total.backward()
        assert tensors_without_gradient(model) == []
    assert logs["loss"].item() == pytest.approx(total.item())

    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    optim.zero_grad()
    model.train_step(pseudo_collate([train[i] for i in filled[:2]]), optim)
    moved = [n for n, p in model.named_parameters() if not torch.equal(p, before[n])]
    assert any("uncertainty" in name for name in moved) == ("Uncertainty" in cfg.model.type)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert len(moved) > 10

    model.eval()
    test = DATASETS.build(cfg.test_dataloader.dataset)
    with torch.no_grad():
        (result,) = model.val_step(pseudo_collate([test[0]]))
    found = result.pred_instances
    height, width = result.ori_shape
    assert (found.scores[:-1] >= found.scores[1:]).all()
    assert len(found) <= 100 and (found.labels == 0).all()
    if cfg.model.type != "YOLOV3":  # mmdet's YOLOv3 does not clip its boxes to the image
        edges = found.bboxes.new_tensor([width, height, width, height])
        assert ((found.bboxes >= 0) & (found.bboxes <= edges)).all()
    assert ("masks" in found) == ("segm" in cfg.test_evaluator.iou_types)
    if "masks" in found:
        assert found.masks.shape == (len(found), height, width)
