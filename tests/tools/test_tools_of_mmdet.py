"""MMDetection's own tools on a config, a checkpoint and results of ours; docs/training_traps.md."""

import json
import re
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmglan.commands.test import with_results
from mmglan.experiments.mmdet_tools import tool_path

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def tool(monkeypatch, tmp_path):
    """Run a tool of the installed MMDetection in this process."""

    def run(name, *arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("MPLBACKEND", "Agg")
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        init_default_scope("mmdet")
        runpy.run_path(str(tool_path(name)), run_name="__main__")

    return run


@pytest.fixture
def with_pipeline(tiny_config, tmp_path):
    """The tiny config with further lines, as a file."""

    def write(lines):
        path = tmp_path / "more.py"
        path.write_text(f"_base_ = {str(tiny_config)!r}\n{lines}\n")
        return path

    return write


def pictures(folder):
    return sorted(path.name for path in Path(folder).rglob("*.png"))


def test_print_config(tool, tiny_config, tmp_path):
    tool("misc/print_config.py", tiny_config, "--save-path", tmp_path / "full.py")
    assert Config.fromfile(tmp_path / "full.py").model.type == "UncertaintyLossWrapper"


def test_analyze_logs(tool, trained, tmp_path, capsys):
    (log,) = trained.glob("*/vis_data/scalars.json")
    keys = ["loss", "sigma_mask", "weight_cls", "raw_box", "loss_mask"]
    out = ["--out", "all.png"]
    if "seaborn" not in tool_path("analysis_tools/analyze_logs.py").read_text():
        out += ["--style", "default"]  # the tool's own default is a style of seaborn's only
    tool("analysis_tools/analyze_logs.py", "plot_curve", log, "--keys", *keys, *out)
    tool("analysis_tools/analyze_logs.py", "cal_train_time", log)
    assert "average iter time" in capsys.readouterr().out
    curves = cv2.imread(str(tmp_path / "all.png"))
    assert len(np.unique(curves.reshape(-1, 3), axis=0)) > 50  # lines of five colours
    loaded = runpy.run_path(str(tool_path("analysis_tools/analyze_logs.py")))["load_json_logs"]
    (by_epoch,) = loaded([str(log)])
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    steps = [entry["iter"] for entry in entries if "loss" in entry]
    for key in keys:
        assert len([v for epoch in by_epoch.values() for v in epoch[key]]) == len(steps)


def test_publish_model(tool, trained, tmp_path, monkeypatch):
    # PyTorch's reader refuses the histories of MMEngine's log; the checkpoint is our own.
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    tool("model_converters/publish_model.py", trained / "epoch_3.pth", tmp_path / "slim.pth")
    while not (found := list(tmp_path.glob("slim-*.pth"))):  # the tool does not wait for `mv`
        pass
    state = torch.load(found[0], weights_only=False)
    assert set(state) == {"meta", "state_dict"}
    assert "backbone.conv1.weight" in state["state_dict"]


def test_browse_dataset(tool, tiny_config, tiny_set, tmp_path):
    tool("analysis_tools/browse_dataset.py", tiny_config, "--output-dir", "b", "--not-show")
    names = [
        Path(image["file_name"]).name
        for image in json.loads((tiny_set / "annotations/train.json").read_bytes())["images"]
    ]
    assert set(pictures(tmp_path / "b")) <= set(names)
    with_lesion = {
        lesion["image_id"]
        for lesion in json.loads((tiny_set / "annotations/train.json").read_bytes())["annotations"]
    }
    assert len(pictures(tmp_path / "b")) == len(with_lesion)  # the others are filtered


def test_get_flops_counts_the_attention(tool, tiny_config, tmp_path, capsys):
    def flops(config):
        tool("analysis_tools/get_flops.py", config, "--num-images", "1")
        number, unit = re.search(r"Flops: ([\d.]+) ?([KMG])", capsys.readouterr().out).groups()
        return float(number) * {"K": 1e3, "M": 1e6, "G": 1e9}[unit]

    cfg = Config.fromfile(tiny_config)
    cfg.model.roi_head.type = "StandardRoIHead"
    cfg.model.roi_head.pop("attention")
    cfg.dump(tmp_path / "plain.py")
    assert flops(tiny_config) > flops(tmp_path / "plain.py") > 0


def test_eval_metric(tool, tiny_config, tiny_set, trained, tested, capsys):
    # The tool evaluates the test set with the settings of the validation.
    annotations = f"val_evaluator.ann_file={tiny_set}/annotations/test.json"
    results = trained / "results.pkl"
    tool("analysis_tools/eval_metric.py", tiny_config, results, "--cfg-options", annotations)
    assert f"'lesion/bbox_AP25': {tested['bbox_AP25']}" in capsys.readouterr().out


LOADING = """
pipeline = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations", with_bbox=True)]
train_dataloader = dict(dataset=dict(pipeline=pipeline))
"""


def test_analyze_results(tool, with_pipeline, trained, tested, tmp_path):
    # Of the training pipeline the tool takes two loaders of MMDetection's, and refuses others.
    config, results = with_pipeline(LOADING), trained / "results.pkl"
    tool("analysis_tools/analyze_results.py", config, results, "painted", "--topk", "3")
    assert pictures(tmp_path / "painted")


def test_confusion_matrix(tool, tiny_config, trained, tested, tmp_path):
    results = trained / "results.pkl"
    tool("analysis_tools/confusion_matrix.py", tiny_config, results, "matrix")
    assert pictures(tmp_path / "matrix") == ["confusion_matrix.png"]


def test_coco_error_analysis(tool, tiny_set, trained, tested, tmp_path):
    annotations = tiny_set / "annotations/test.json"
    found = trained / "results.bbox.json"
    tool("analysis_tools/coco_error_analysis.py", found, "errors", "--ann", annotations)
    assert "bbox-allclass-allarea.png" in pictures(tmp_path / "errors")


def test_show_dir_keeps_every_slice(tool, tiny_config, tiny_set, trained, tmp_path):
    options = ["--work-dir", tmp_path / "w", "--show-dir", "shown"]
    tool("test.py", tiny_config, trained / "epoch_3.pth", *options)
    images = json.loads((tiny_set / "annotations/test.json").read_bytes())["images"]
    assert len(pictures(tmp_path / "w")) == len(images)


KINDS = ("bbox", "segm")
BOXES = """
model = dict(tasks="faster_rcnn", roi_head=dict(mask_head=None, mask_roi_extractor=None))
"""


def test_tta(tool, tiny_config, with_pipeline, trained, tested, tmp_path):
    checkpoint, work_dir = trained / "epoch_3.pth", ["--work-dir", tmp_path / "w"]
    prefix = f"test_evaluator.outfile_prefix={tmp_path}/found"
    options = [*work_dir, "--tta", "--cfg-options", prefix]
    tool("test.py", tiny_config, checkpoint, *options)
    found, masks = (json.loads((tmp_path / f"found.{k}.json").read_bytes()) for k in KINDS)
    assert len(found) == len(masks) > 0
    assert found != json.loads((trained / "results.bbox.json").read_bytes())
    (tmp_path / "found.segm.json").unlink()
    tool("test.py", with_pipeline(BOXES), checkpoint, *options)
    found = json.loads((tmp_path / "found.bbox.json").read_bytes())
    assert len(found) > 0 and not (tmp_path / "found.segm.json").exists()


def test_metrics_as_a_list(tool, tiny_config, tiny_set, trained, tested, with_pipeline, tmp_path):
    coco = dict(type="CocoMetric", metric="bbox", ann_file=str(tiny_set / "annotations/test.json"))
    config = with_pipeline(f"test_evaluator = [{coco}, _base_.test_evaluator]")
    checkpoint = str(trained / "epoch_3.pth")
    words = with_results([str(config), checkpoint, "--work-dir", str(tmp_path / "w")])
    assert words[-1] == f"test_evaluator.1.outfile_prefix={tmp_path}/w/results"
    tool("test.py", *words)
    ours = json.loads((tmp_path / "w/results.bbox.json").read_bytes())
    assert ours == json.loads((trained / "results.bbox.json").read_bytes())
