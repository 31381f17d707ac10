"""Work directories and training logs."""

import json
import os

import pytest

from mmglan.reporting.run_files import (
    config_test_set,
    find_runs,
    read_dumped_config,
    read_run,
)
from mmglan.reporting.scalars import find_logs, group, read_scalars

METRICS = {"schema": 1, "metrics": {"bbox_AP25": 0.5}}


def _run(folder, stem="glan_r50_fpn_160e_lesions", config="", metrics=METRICS):
    folder.mkdir(parents=True)
    (folder / "results.metrics.json").write_text(json.dumps(metrics))
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


def test_figures_of_volumes_join_the_run(tmp_path):
    folder = _run(tmp_path / "run")
    volumes = {"schema": 1, "metrics": {"bbox_AP25": 0.1, "bbox3d_SEN25": 0.75}}
    volumes["froc"] = {"bbox3d_IoBB": {"0.30": {}}}
    (folder / "results_volumes.metrics.json").write_text(json.dumps(volumes))
    run = read_run(folder)
    assert run.metrics["metrics"] == {"bbox_AP25": 0.5, "bbox3d_SEN25": 0.75}
    assert run.metrics["froc"] == {"bbox3d_IoBB": {"0.30": {}}}
    assert [r.metrics for r in find_runs([tmp_path])] == [run.metrics]


def test_errors_say_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"mmglan test"):
        read_run(tmp_path)
    with pytest.raises(FileNotFoundError, match="Expected a work directory"):
        find_runs([tmp_path / "none"])
    with pytest.raises(ValueError, match="Expected schema 1 but got 7"):
        read_run(_run(tmp_path / "x", metrics={"schema": 7, "metrics": {}}))
    with pytest.raises(ValueError, match="with 'metrics'"):
        read_run(_run(tmp_path / "y", metrics=[1]))


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
        {"sigma/a": 1.0, "loss": 2, "iter": 10, "epoch": 1, "step": 10},
        {"sigma/a": 0.9, "loss": float("nan"), "iter": 20, "epoch": 1, "step": 20},
        {"lesion/bbox_AP25": 0.5, "step": 1},
    ]
    resumed = [{"sigma/a": 0.8, "loss": 1, "iter": 20, "epoch": 1, "step": 20}]
    for name, part, tail in (("20260101", lines, '{"sigma/a": 0.'), ("20260102", resumed, "")):
        folder = tmp_path / name / "vis_data"
        folder.mkdir(parents=True)
        text = "".join(json.dumps(line) + "\n" for line in part) + tail
        (folder / "scalars.json").write_text(text)
    scalars = read_scalars(find_logs(tmp_path))
    assert scalars == {"loss": ([10, 20], [2.0, 1.0]), "sigma/a": ([10, 20], [1.0, 0.8])}
    assert group(scalars, "sigma") == {"a": ([10, 20], [1.0, 0.8])}


def test_a_broken_line_is_named(tmp_path):
    path = tmp_path / "scalars.json"
    path.write_text('{"iter": 1}\n{"iter"\n{"iter": 2}\n')
    with pytest.raises(ValueError, match=r"scalars.json, line 2"):
        read_scalars([path])
