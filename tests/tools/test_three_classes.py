"""Nodes, cysts and vessels as three classes: prepare, train, test, and others' evaluators."""

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from faster_coco_eval import COCO as FasterCOCO
from faster_coco_eval import COCOeval_faster
from mmengine.config import Config
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from data_prep import prepare
from data_prep.phantoms import abdomen
from mmglan.evaluation.evaluation_record import read_evaluation
from mmglan.experiments.shrink import shrink

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ("cyst", "node", "vessel cross-section")


@pytest.fixture(scope="module")
def three_class_set(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("three_classes")
    bookmarks = abdomen.write_dataset(
        folder / "raw",
        8,
        n_nodes=2,
        n_lookalikes=12,
        three_classes=True,
        shape=(8, 64, 64),
        spacing_mm=(5.0, 5.0, 5.0),
    )
    arguments = ["--images", folder / "raw/images", "--bookmarks", bookmarks, "--classes", "site"]
    arguments += ["--out-dir", folder / "data", "--split", "0.5,0.25,0.25", "--overlays", 0]
    assert prepare.main([*map(str, arguments), "--quiet"]) == 0
    return folder / "data"


def config(data: Path, path: Path, *lines: str) -> Path:
    """The main config in its tiny form, and lines of the user's."""
    cfg = shrink(Config.fromfile(ROOT / "configs/glan/glan_r50_fpn_160e_lesions.py"), data)
    cfg.max_epochs = 2
    cfg.train_cfg.update(max_epochs=2, val_interval=2)
    base = path.with_name("base.py")
    cfg.dump(base)
    path.write_text("\n".join([f"_base_ = {str(base)!r}", *lines]) + "\n")
    return path


@pytest.fixture
def run(command_environment):
    def start(*arguments):
        command = [sys.executable, "-m", "mmglan", *map(str, arguments)]
        return subprocess.run(command, env=command_environment, capture_output=True, text=True)

    return start


def test_other_classes_than_the_data_are_refused(three_class_set, tmp_path, run):
    for line, words in (
        ("", "Expected categories ['lesion'] but got ['cyst', 'node', 'vessel cross-section']"),
        ("classes = ('nodes', 'cyst')", "Did you mean 'node' for 'nodes'?"),
    ):
        path = config(three_class_set, tmp_path / "mine.py", line)
        done = run("train", path, "--work-dir", tmp_path / "run")
        assert done.returncode != 0 and words in done.stderr
        assert not list((tmp_path / "run").glob("*.pth"))


@pytest.mark.slow
def test_training_on_three_classes(three_class_set, tmp_path, run):
    line = f"classes = {CLASSES}"
    metric = "test_evaluator = dict(per_class=True, bootstrap=20)"
    path, work = config(three_class_set, tmp_path / "mine.py", line, metric), tmp_path / "run"
    done = run("train", path, "--work-dir", work)
    assert done.returncode == 0, done.stderr[-3000:]
    prefix = work / "results"
    options = [f"test_evaluator.outfile_prefix={prefix}"]
    done = run(*("test", path, work / "epoch_2.pth", "--work-dir", work, "--cfg-options", *options))
    assert done.returncode == 0, done.stderr[-3000:]
    gt = three_class_set / "annotations/test.json"
    ours = read_evaluation(f"{prefix}.metrics.json")
    names = {one["id"]: one["name"] for one in json.loads(gt.read_bytes())["categories"]}
    assert tuple(names.values()) == CLASSES
    for kind in ("bbox", "segm"):
        rows = json.loads(Path(f"{prefix}.{kind}.json").read_bytes())
        assert {row["category_id"] for row in rows} <= set(names) and rows
        for api, evaluator in ((COCO, COCOeval), (FasterCOCO, COCOeval_faster)):
            with contextlib.redirect_stdout(io.StringIO()):
                truth = api(str(gt))
                theirs = evaluator(truth, truth.loadRes(f"{prefix}.{kind}.json"), kind)
                theirs.params.iouThrs = np.array([0.1, 0.25, 0.5])
                theirs.evaluate()
                theirs.accumulate()
            found = theirs.eval["precision"][:, :, :, 0, -1].mean(axis=1)
            for row, threshold in enumerate((10, 25, 50)):
                for column, number in enumerate(theirs.params.catIds):
                    value = ours[f"{kind}_AP{threshold}_{names[number]}"].value
                    value = -1 if value is None else value
                    assert value == pytest.approx(found[row, column], abs=1e-9)
    assert ours.confusions[0].classes == CLASSES
    done = run("report", work, "--gt", gt, "--images", three_class_set / "images")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "found as (columns)" in (work / "report.html").read_text()
