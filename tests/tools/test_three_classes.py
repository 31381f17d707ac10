"""Nodes, cysts and vessels as three classes: prepare, train, test, and others' evaluators."""

import contextlib
import io
import json
import subprocess
import sys
from dataclasses import replace
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
from mmglan.experiments.mmdet_tools import tool_path
from mmglan.experiments.shrink import SMALL, TINY, Size, shrink

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ("cyst", "node", "vessel cross-section")


def prepared(folder: Path, volumes: int, split: str, **phantoms) -> Path:
    """Phantoms of three classes, prepared in a folder."""
    options = dict(three_classes=True, **phantoms)
    bookmarks = abdomen.write_dataset(folder / "raw", volumes, **options)
    arguments = ["--images", folder / "raw/images", "--bookmarks", bookmarks, "--classes", "site"]
    arguments += ["--out-dir", folder / "data", "--split", split, "--overlays", 0]
    assert prepare.main([*map(str, arguments), "--quiet"]) == 0
    return folder / "data"


@pytest.fixture(scope="module")
def three_class_set(tmp_path_factory) -> Path:
    options = dict(n_nodes=2, n_lookalikes=12, shape=(8, 64, 64), spacing_mm=(5.0, 5.0, 5.0))
    return prepared(tmp_path_factory.mktemp("three_classes"), 8, "0.5,0.25,0.25", **options)


def config(data: Path, path: Path, *lines: str, size: Size = TINY) -> Path:
    """The main config in a small form, and lines of the user's."""
    cfg = shrink(Config.fromfile(ROOT / "configs/glan/glan_r50_fpn_160e_lesions.py"), data, size)
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
@pytest.mark.timeout(3600)
def test_training_on_three_classes(tmp_path, run, command_environment):
    """AP of each class above 0 and as others' evaluators have it; MMDetection's tools run."""
    options = dict(n_nodes=3, n_lookalikes=14, shape=(12, 96, 96), spacing_mm=(3.3, 3.3, 5.0))
    data = prepared(tmp_path, 16, "0.6,0.1,0.3", noise=8.0, **options)
    line = f"classes = {CLASSES}"
    metric = "test_evaluator = dict(per_class=True, bootstrap=20)"
    size = replace(SMALL, image=96, epochs=12)
    path, work = config(data, tmp_path / "mine.py", line, metric, size=size), tmp_path / "run"
    done = run("train", path, "--work-dir", work)
    assert done.returncode == 0, done.stderr[-3000:]
    prefix = work / "results"
    options = [f"test_evaluator.outfile_prefix={prefix}"]
    given = ["--work-dir", work, "--out", work / "results.pkl", "--cfg-options", *options]
    done = run("test", path, work / "epoch_12.pth", *given)
    assert done.returncode == 0, done.stderr[-3000:]
    gt = data / "annotations/test.json"
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
                    assert value > 0 or threshold == 50
                    assert value == pytest.approx(found[row, column], abs=1e-9)
    assert ours.confusions[0].classes == CLASSES
    done = run("report", work, "--gt", gt, "--images", data / "images")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "found as (columns)" in (work / "report.html").read_text()

    # The config that was written into the run directory has the classes in every part.
    environment = {**command_environment, "MPLBACKEND": "Agg"}
    dumped, found = work / "mine.py", work / "results.pkl"
    validation = ["--cfg-options", f"val_evaluator.ann_file={gt}"]
    for name, *words in (
        ("analysis_tools/confusion_matrix.py", dumped, found, tmp_path / "matrix"),
        ("analysis_tools/eval_metric.py", dumped, found, *validation),
        ("analysis_tools/browse_dataset.py", dumped, "--output-dir", tmp_path / "b", "--not-show"),
        (
            "analysis_tools/coco_error_analysis.py",
            f"{prefix}.bbox.json",
            tmp_path / "e",
            "--ann",
            gt,
        ),
    ):
        command = [sys.executable, str(tool_path(name)), *map(str, words)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "matrix/confusion_matrix.png").exists()
    assert (tmp_path / "e/bbox/bbox-cyst-allarea.png").exists()
