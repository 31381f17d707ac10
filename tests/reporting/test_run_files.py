"""Work directories and training logs."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from mmglan.evaluation.evaluation_record import (
    Evaluation,
    OperatingPoint,
    ReportedCurve,
    write_evaluation,
)
from mmglan.evaluation.metric_values import MetricValue
from mmglan.evaluation.protocols import PROTOCOLS, Criterion
from mmglan.reporting.run_files import (
    Run,
    config_test_set,
    find_runs,
    read_dumped_config,
    read_run,
    score_at,
)
from mmglan.reporting.scalars import find_logs, group, read_scalars

IOU_25 = Criterion("iou", 0.25)
EVALUATION = Evaluation(
    PROTOCOLS["deeplesion"], values=(MetricValue("bbox", "AP", IOU_25, value=0.5),)
)


def _run(folder, stem="glan_r50_fpn_160e_lesions", config=""):
    folder.mkdir(parents=True)
    write_evaluation(EVALUATION, folder / "results.metrics.json")
    if stem:
        (folder / f"{stem}.py").write_text(config)
    return folder


def test_config_is_read_and_not_executed(tmp_path):
    path = tmp_path / "c.py"
    path.write_text(
        "a = dict(b=[1, dict(c=-0.5)], d=(True, None), e={'f-g': 'h'})\n"
        "import os\nboom = os.system('touch ran')\nx = dict([(1, 2)])\nlast = 3\n"
    )
    config = read_dumped_config(path)
    assert config == {"a": {"b": [1, {"c": -0.5}], "d": (True, None), "e": {"f-g": "h"}}, "last": 3}
    assert not (tmp_path / "ran").exists()
    path.write_text("a = (")
    with pytest.raises(ValueError, match=r"c.py: Expected a dumped config"):
        read_dumped_config(path)


def test_the_dumped_config_names_the_run(tmp_path):
    folder = _run(tmp_path / "some_name", config="train_cfg = dict(max_epochs=3)\n")
    run = read_run(folder)
    assert run.stem == "glan_r50_fpn_160e_lesions"
    assert run.config == {"train_cfg": {"max_epochs": 3}}
    assert read_run(_run(tmp_path / "plain", stem="")).stem == "plain"


def test_of_two_configs_the_newer_counts(tmp_path):
    folder = _run(tmp_path / "run", stem="old")
    (folder / "new.py").write_text("")
    os.utime(folder / "old.py", (1, 1))
    assert read_run(folder).stem == "new"


def test_runs_are_found_below_folders_and_once(tmp_path):
    first, second = _run(tmp_path / "all" / "b"), _run(tmp_path / "all" / "a" / "fold1")
    found = find_runs([tmp_path / "all", first])
    assert [run.folder.resolve() for run in found] == [second.resolve(), first.resolve()]


def test_metrics_of_volumes_join_the_run(tmp_path):
    folder = _run(tmp_path / "run")
    values = (
        MetricValue("bbox", "AP", IOU_25, value=0.1),
        MetricValue("bbox3d", "SEN", IOU_25, 5.0, value=0.75),
    )
    volumes = Evaluation(PROTOCOLS["deeplesion"], values=values)
    write_evaluation(volumes, folder / "results_volumes.metrics.json")
    run = read_run(folder)
    assert run.evaluation.by_name() == {"bbox_AP25": 0.5, "bbox3d_SEN25": 0.75}
    assert [r.evaluation for r in find_runs([tmp_path])] == [run.evaluation]


def test_score_at_an_operating_point():
    points = OperatingPoint(0.5, 0.0, None), OperatingPoint(1.0, 0.5, 0.7)
    curves = (
        ReportedCurve("segm", IOU_25, (), (), ()),
        ReportedCurve("bbox", Criterion("centre"), (), (), (), operating_points=points),
    )
    evaluation = replace(EVALUATION, curves=curves)
    assert score_at(evaluation, 1.0) == 0.7 and score_at(evaluation, 0.5) == float("inf")
    with pytest.raises(ValueError, match=r"at 3.0 false positives but got those at \[0.5, 1.0\]"):
        score_at(evaluation, 3.0)
    with pytest.raises(ValueError, match=r"got those at \[\]"):
        score_at(EVALUATION, 1.0)


def test_errors_say_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="Run mmglan test"):
        read_run(tmp_path)
    with pytest.raises(FileNotFoundError, match="Expected a work directory"):
        find_runs([tmp_path / "none"])
    path = _run(tmp_path / "x") / "results.metrics.json"
    path.write_text('{"schema": 7}')
    with pytest.raises(ValueError, match="Expected metrics of schema 2 but got 7"):
        read_run(path.parent)


def test_test_set_of_the_config(tmp_path):
    config = (
        "test_dataloader = dict(dataset=dict(dataset=dict(data_root='d/', "
        "ann_file='annotations/test.json', data_prefix=dict(img='images/'))))\n"
    )
    run = read_run(_run(tmp_path / "run", config=config))
    annotations, images = config_test_set(run, None, None)
    assert (str(annotations), str(images)) == ("d/annotations/test.json", "d/images")
    assert config_test_set(run, tmp_path, None)[0] == tmp_path
    with pytest.raises(ValueError, match="--gt and --images"):
        config_test_set(read_run(_run(tmp_path / "bare")), None, None)


def test_scalars_of_a_resumed_run(tmp_path):
    lines = [
        {"sigma_a": 1.0, "loss": 2, "iter": 10, "epoch": 1, "step": 10},
        {"sigma_a": 0.9, "loss": float("nan"), "iter": 20, "epoch": 1, "step": 20},
        {"lesion/bbox_AP25": 0.5, "step": 1},
    ]
    resumed = [{"sigma_a": 0.8, "loss": 1, "iter": 20, "epoch": 1, "step": 20}]
    for name, part, tail in (("20260101", lines, '{"sigma_a": 0.'), ("20260102", resumed, "")):
        folder = tmp_path / name / "vis_data"
        folder.mkdir(parents=True)
        text = "".join(json.dumps(line) + "\n" for line in part) + tail
        (folder / "scalars.json").write_text(text)
    scalars = read_scalars(find_logs(tmp_path))
    assert scalars == {"loss": ([10, 20], [2.0, 1.0]), "sigma_a": ([10, 20], [1.0, 0.8])}
    assert group(scalars, "sigma") == {"a": ([10, 20], [1.0, 0.8])}


def test_a_broken_line_is_named(tmp_path):
    path = tmp_path / "scalars.json"
    path.write_text('{"iter": 1}\n{"iter"\n{"iter": 2}\n')
    with pytest.raises(ValueError, match=r"scalars.json, line 2"):
        read_scalars([path])


def test_a_received_config_names_no_place_outside(tmp_path, monkeypatch):
    run_dir, outside = tmp_path / "run", tmp_path / "private"
    run_dir.mkdir(), outside.mkdir()
    monkeypatch.chdir(run_dir)
    monkeypatch.delenv("MMGLAN_DATA", raising=False)
    dataset = dict(ann_file="a.json", data_prefix=dict(img="i/"))

    def places(root):
        config = dict(test_dataloader=dict(dataset=dict(dataset, data_root=root)))
        return config_test_set(Run(run_dir, "c", EVALUATION, config), None, None)

    for root in (str(outside), "../private", "/"):
        with pytest.raises(ValueError, match="Give --gt and --images"):
            places(root)
    assert places("data/") == (Path("data/a.json"), Path("data/i"))
    monkeypatch.setenv("MMGLAN_DATA", str(outside))
    assert places(str(outside)) == (outside / "a.json", outside / "i")
