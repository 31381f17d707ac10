"""The paper's tables with our metrics beside them."""

import csv
import io
import json
import shutil

import numpy as np
import pytest

from mmglan.detections.box_overlaps import Pairs
from mmglan.evaluation.detection_sets.detection_set import DetectionSet
from mmglan.evaluation.evaluation_record import Evaluation, read_evaluation
from mmglan.evaluation.metric_values import MetricKey, MetricValue
from mmglan.evaluation.metrics import Metrics
from mmglan.evaluation.protocols import PROTOCOLS, Criterion
from mmglan.evaluation.resampling.bootstrap import Interval
from mmglan.reporting.paper_tables import TABLES, paper_metrics
from mmglan.reporting.run_files import Run
from mmglan.reporting.tables import MARK, cell, csv_text, fill, latex, markdown, unplaced

OURS = "glan_r50_fpn_160e_lesions"


AP25 = MetricKey("bbox", "AP", Criterion("iou", 0.25))
SEN50 = MetricKey("segm", "SEN", Criterion("iou", 0.5), 5.0)


def _run(tmp_path, stem, value, interval=None):
    ends = None if interval is None else Interval(*interval, 0.95, "bca", 100)
    values = MetricValue(**vars(AP25), value=value, interval=ends), MetricValue(**vars(SEN50))
    return Run(tmp_path, stem, Evaluation(PROTOCOLS["deeplesion"], values=values))


def test_every_config_of_the_tables_that_is_shipped_exists(repository):
    """Tables 4 and 6 are of public data sets, whose configs the user derives."""
    configs = {path.stem for path in (repository / "configs").rglob("*.py")}
    for table in TABLES:
        if table.label in ("table4", "table6"):
            continue
        for row in table.rows:
            assert row.stem in configs, (table.label, row.name)


def _by_name(stem):
    return {key.name: value for key, value in paper_metrics(stem).items()}


def test_the_paper_numbers_stand_in_their_columns():
    ours = _by_name(OURS)
    assert (ours["segm_AP25"], ours["bbox_SEN50"], ours["bbox_mRecall25"]) == (54.57, 60.12, 90.3)
    faster = _by_name("faster-rcnn_r50_fpn_160e_lesions")
    assert faster == {
        "bbox_AP25": 49.55,
        "bbox_AP50": 42.02,
        "bbox_SEN25": 53.18,
        "bbox_SEN50": 46.24,
    }
    deep = _by_name("glan_r50_fpn_160e_deeplesion")
    assert deep["bbox3d_FROC_IoBB30_fp0.125"] == 0.8 and deep["bbox3d_FROC_IoBB30_mean"] == 24.0
    assert paper_metrics("unknown") == {}
    for table in TABLES:
        assert all(len(row.paper) <= len(table.columns) for row in table.rows)
        assert len({row.name for row in table.rows}) == len(table.rows)


def test_metrics_of_the_tables_are_computed():
    keys = set()
    for kind, dims in (("bbox", 2), ("segm", 2), ("bbox3d", 3), ("segm3d", 3)):
        pairs = Pairs(np.array([0]), np.array([0]), np.array([0.9]))
        overlaps = {"iou": pairs, "iobb": pairs}
        one = np.zeros(1, int)
        found = DetectionSet(kind, dims, one, np.ones(1), one, one, overlaps, np.full(1, np.nan))
        keys |= set(Metrics(found, PROTOCOLS["deeplesion"]).keys)
    for table in TABLES:
        assert set(table.columns) <= keys, table.label


def test_one_run_several_runs_and_none(tmp_path):
    one = cell([_run(tmp_path, OURS, 0.5, (0.4, 0.625))], AP25)
    assert one.text() == "50.00 (40.0 – 62.5)"
    several = cell([_run(tmp_path, OURS, v) for v in (0.4, 0.5, 0.6)], AP25)
    assert several.text() == "50.00 ± 10.00 (3 runs)"
    assert cell([], AP25).text() == "–"
    assert cell([_run(tmp_path, OURS, 0.5)], SEN50).text() == "–"
    assert cell([_run(tmp_path, OURS, 0.5)], AP25).text() == "50.00"


def test_formats(tmp_path):
    table = TABLES[0]
    cells = fill(table, [_run(tmp_path, OURS, 0.123456, (0.1, 0.2))])
    page = markdown(table, cells)
    assert MARK in page
    assert "No run of ours was given for YOLOv3, Faster R-CNN, Mask R-CNN w/o pseudo mask" in page
    assert "No masks predicted, or no volumes tested, for the empty cells of Ours." in page
    row = next(line for line in page.split("Box IoU")[1].splitlines() if "| Ours |" in line)
    assert row == ("| Ours | 12.35 (10.0 – 20.0) | 55.16 | – | 47.82 | – | 72.25 | – | 60.12 |")
    rows = list(csv.DictReader(io.StringIO(csv_text(table, cells))))
    ours = next(r for r in rows if r["method"] == "Ours" and r["metric"] == "bbox_AP25")
    assert float(ours["ours_percent"]) == pytest.approx(12.3456)
    assert (ours["ours_low"], ours["ours_high"], ours["ours_runs"]) == ("10.0", "20.0", "1")
    assert (ours["ours_note"], ours["paper_percent"]) == (MARK, "55.16")
    assert len(rows) == 7 * 10
    text = latex(TABLES[2], fill(TABLES[2], []))
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2
    assert r"$\lambda$ RPN cls 10" in text and MARK in text
    captions = [
        line for line in latex(TABLES[3], fill(TABLES[3], [])).splitlines() if "capt" in line
    ]
    assert all(TABLES[3].note in line and "Table 4" not in line for line in captions)


def test_runs_of_other_configs_are_told(tmp_path):
    runs = [_run(tmp_path, "glan_r18_demo", 0.5), _run(tmp_path, OURS, 0.5)]
    assert [run.stem for run in unplaced(TABLES, runs)] == ["glan_r18_demo"]


def test_command(made_run, tool, tmp_path, capsys):
    collect = tool("collect_results")
    assert collect.main([str(made_run), "--out-dir", str(tmp_path)]) == 0
    files = {path.name for path in tmp_path.iterdir()}
    names = [*(f"table{n}" for n in range(1, 7)), "figure6"]
    assert files == {"tables.md"} | {f"{name}.{e}" for name in names for e in ("csv", "tex")}
    page = (tmp_path / "tables.md").read_text()
    evaluation = read_evaluation(made_run / "run" / "results.metrics.json")
    assert f"{100 * evaluation['bbox_mRecall25'].value:.2f}" in page.split("## Table 5")[1]
    assert "| glan_r50_fpn_160e_lesions | 12 | 6 |" in page
    assert "In brackets: the interval of the bootstrap over patients" in page
    assert "the config's |" in page
    before = page
    assert collect.main([str(made_run), "--out-dir", str(tmp_path)]) == 0
    assert (tmp_path / "tables.md").read_text() == before

    renamed = f"mask-rcnn_r50_fpn_160e_lesions={made_run / 'run'}"
    assert collect.main([str(made_run), "--out-dir", str(tmp_path), "--as", renamed]) == 0
    row = next(
        line
        for line in (tmp_path / "table1.csv").read_text().splitlines()
        if ",Mask R-CNN," in line and "bbox_AP25" in line
    )
    assert float(row.split(",")[4]) == pytest.approx(100 * evaluation["bbox_AP25"].value)
    capsys.readouterr()
    check_swept_weights(collect, made_run, tmp_path, capsys)
    assert collect.main([str(made_run), "--out-dir", str(tmp_path), "--as", "what=x"]) == 2
    assert "Expected CONFIG=DIR" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert collect.main([str(tmp_path / "empty"), "--out-dir", str(tmp_path)]) == 2
    assert "Run mmglan test first" in capsys.readouterr().err


def check_swept_weights(collect, made_run, tmp_path, capsys):
    """The page says with which weights a row was trained, if a sweep found them."""
    run = tmp_path / "swept"
    shutil.copytree(made_run / "run", run)
    tested = shutil.copytree(made_run / "run", tmp_path / "volumes" / "swept")
    names = ("model.rpn_head.loss_bbox.loss_weight", "model.roi_head.loss_cls.loss_weight")
    for weights, said in (((7, 1), "rpn_head.loss_bbox 7, the others 1"), ((1, 1), "all 1")):
        (run / "weights.json").write_text(json.dumps(dict(zip(names, weights, strict=True))))
        assert collect.main([str(run), str(tested), "--out-dir", str(tmp_path)]) == 0
        page = (tmp_path / "tables.md").read_text().replace("\\", "")
        assert page.count(f"| best of a sweep: {said} |") == 2
    for broken in ("[7]", '{"a": "x"}', "{"):
        (run / "weights.json").write_text(broken)
        assert collect.main([str(run), "--out-dir", str(tmp_path)]) == 2
        assert "swept/weights.json: Expected loss weights" in capsys.readouterr().err
    shutil.rmtree(run)
    shutil.rmtree(tested.parent)
