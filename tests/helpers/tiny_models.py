"""A tiny detector with untrained weights, as config and checkpoint and as a model file."""

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmglan.detections.calibration import Calibration
from mmglan.experiments.shrink import shrink
from mmglan.inference.expected_input import ExpectedInput
from mmglan.inference.model_file import FrocPoints, ModelRecord
from mmglan.inference.plain_config import plain_config


def make_tiny_model(repository, folder, seed=0) -> tuple[str, str]:
    """Write config and checkpoint of our detector in its tiny form."""
    config = Config.fromfile(repository / "configs/glan/glan_r50_fpn_160e_lesions.py")
    config = shrink(config, folder)
    config.dump(folder / "tiny.py")
    init_default_scope("mmdet")
    torch.manual_seed(seed)
    torch.save(MODELS.build(config.model).state_dict(), folder / "tiny.pth")
    return str(folder / "tiny.py"), str(folder / "tiny.pth")


def tiny_record(config_path, **changes) -> ModelRecord:
    """What a model file of the tiny detector says."""
    values = dict(
        name="tiny",
        config=plain_config(Config.fromfile(config_path)),
        normalize="image",
        slice_floor=0.05,
        froc=FrocPoints((0.5, 2.0, 8.0), (0.2, 0.5, 0.9), (0.6, 0.4, 0.2), "IoBB ≥ 0.3"),
        expected=ExpectedInput(
            ((0.5, 1.0), (0.5, 1.2), (2.0, 3.0)), ((20, 40), (20, 40), (10, 20)), (100, 900)
        ),
        calibration=Calibration("isotonic", (0.0, 1.0), (0.0, 0.5)),
    )
    return ModelRecord(**{**values, **changes})
