"""`mmglan evidence`: what is asked for, and folds that are evaluated as one test set."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading

import pytest
from mmengine.config import Config

from mmglan.commands import evidence as command
from mmglan.experiments import evidence
from mmglan.shipped_files import find_config


def test_source_and_folds_are_checked(tmp_path, capsys):
    for words, message in (
        ([], "expected --source"),
        (["--source", "x", "--scale", "tiny"], "expected no --source with --scale tiny"),
        (["--source", "x", "--folds", "5"], r"expected folds from 0 to 4 but got [5]"),
    ):
        with pytest.raises(SystemExit) as stop:
            command.parse_args([*words, "--work-dir", str(tmp_path)])
        assert stop.value.code == 2 and message in capsys.readouterr().err


def test_two_folds_are_evaluated_as_one_set(tmp_path, monkeypatch):
    """A detector that finds all lesions of the one fold and none of the other."""
    rows = [evidence.BASELINE, evidence.MEAN_ONE]
    args = command.parse_args(
        ["--scale", "tiny", "--work-dir", str(tmp_path), "--folds", "0", "1", "--bootstrap", "0"]
    )
    data = command.prepare_data(args)
    counts = []
    for fold in args.folds:
        truth = json.loads((data / f"annotations/fold{fold}/test_whole.json").read_bytes())
        counts.append(len(truth["annotations"]))
        found = [
            {"image_id": a["image_id"], "category_id": 1, "bbox": a["bbox"], "score": 0.9}
            for a in truth["annotations"]
        ]
        for row in rows:
            run = evidence.run_folder(args.work_dir, fold, 0) / row
            run.mkdir(parents=True)
            results = found if fold == 0 or row == evidence.MEAN_ONE else []
            (run / "results.bbox.json").write_text(json.dumps(results))
    summary = command.evaluate_rows(args, data)
    ours, baseline = (summary["rows"][f"{row}, seed 0"] for row in reversed(rows))
    assert ours["bbox_FROC25_mean"]["value"] == ours["bbox_AP50"]["value"] == 1
    assert baseline["bbox_FROC25_mean"]["value"] == pytest.approx(counts[0] / sum(counts))
    (difference,) = (pair["bbox_FROC25_mean"] for pair in summary["pairs"].values())
    assert difference["difference"] == pytest.approx(counts[1] / sum(counts))
    # Tests on mirrored slices are another set of results: there are none.
    mirrored = command.evaluate_rows(argparse.Namespace(**{**vars(args), "tta": True}), data)
    assert mirrored == {"rows": {}, "pairs": {}}
    for fold in args.folds:
        runs = evidence.run_folder(args.work_dir, fold, 0)
        shutil.copytree(runs / evidence.MEAN_ONE, runs / "tta" / evidence.BASELINE)
    mirrored = command.evaluate_rows(argparse.Namespace(**{**vars(args), "tta": True}), data)
    assert mirrored["rows"] == {f"{evidence.BASELINE}, seed 0, tta": ours}
    # A second call prepares nothing and gives the same.
    monkeypatch.setattr(command.prepare, "main", None)
    assert command.evaluate_rows(args, command.prepare_data(args)) == summary


def test_fewer_training_patients_are_part_of_more_and_the_test_is_the_same(tmp_path):
    args = command.parse_args(["--scale", "tiny", "--work-dir", str(tmp_path)])
    data = command.prepare_data(args)
    annotations = data / "annotations"
    whole = json.loads((annotations / "fold0/train.json").read_bytes())
    patients = {image["patient_id"] for image in whole["images"]}
    val = json.loads((annotations / "fold0/val.json").read_bytes())
    everyone = patients | {image["patient_id"] for image in val["images"]}
    seen = set()
    for n in (1, len(patients), len(everyone)):
        name, factor = evidence.write_fold_of(data, 0, n)
        assert name == f"fold0_patients{n}"
        for file in ("train.json", "train_recist.json", "train_whole.json", "train_truth.json"):
            content = json.loads((annotations / name / file).read_bytes())
            found = {image["patient_id"] for image in content["images"]}
            assert len(found) == n and seen <= found
            ids = [image["id"] for image in content["images"]]
            assert {a["image_id"] for a in content["annotations"]} <= {*ids}
            assert len(ids) == len({*ids})
        volumes = json.loads((annotations / name / "volumes_train.json").read_bytes())
        assert {v["patient_id"] for v in volumes["volumes"]} == found
        assert {e["volume_id"] for e in volumes["lesions"]} <= {
            v["volume_id"] for v in volumes["volumes"]
        }
        train = json.loads((annotations / name / "train.json").read_bytes())
        assert factor == pytest.approx(len(whole["images"]) / len(train["images"]))
        seen = found
        for file in ("val.json", "test_whole.json", "volumes_test.json"):
            assert (annotations / name / file).read_bytes() == (
                annotations / "fold0" / file
            ).read_bytes()
    assert seen == everyone
    with pytest.raises(ValueError, match=f"Expected at most {len(everyone)} training patients"):
        evidence.write_fold_of(data, 0, len(everyone) + 1)


def test_the_curve_trains_as_many_steps_with_few_patients(tmp_path, monkeypatch):
    words = ["--scale", "tiny", "--work-dir", str(tmp_path), "--folds", "0"]
    args = command.parse_args([*words, "--patients", "1", "2", "--bootstrap", "0"])
    data = command.prepare_data(args)
    called = []

    def run(words):
        named = {name: os.environ[f"MMGLAN_{name}"] for name in ("FOLD", "EPOCHS")}
        called.append((named["FOLD"], int(named["EPOCHS"]), words[words.index("--work-dir") + 1]))
        return 0

    monkeypatch.setattr(command.run_table, "main", run)
    for name in ("MMGLAN_DATA", "MMGLAN_FOLD", "MMGLAN_SEED", "MMGLAN_EPOCHS"):
        monkeypatch.setenv(name, "")
    assert command.train_and_test(args, data) == 0
    assert [fold for fold, _, _ in called] == ["fold0_patients1", "fold0_patients2"]
    slices = [
        len(json.loads((data / f"annotations/{fold}/train.json").read_bytes())["images"])
        for fold in ("fold0", "fold0_patients1", "fold0_patients2")
    ]
    assert [epochs for _, epochs, _ in called] == [
        round(20 * slices[0] / slices[n]) for n in (1, 2)
    ]
    folders = [evidence.run_folder(args.work_dir, 0, 0, n) for n in (1, 2)]
    assert [folder for _, _, folder in called] == list(map(str, folders))
    truth = json.loads((data / "annotations/fold0/test_whole.json").read_bytes())
    found = [
        {"image_id": a["image_id"], "category_id": 1, "bbox": a["bbox"], "score": 0.9}
        for a in truth["annotations"]
    ]
    for folder, results in zip(folders, ([], found), strict=True):
        (folder / evidence.BASELINE).mkdir(parents=True)
        (folder / evidence.BASELINE / "results.bbox.json").write_text(json.dumps(results))
    rows = command.evaluate_rows(args, data)["rows"]
    assert {name: row["bbox_FROC25_mean"]["value"] for name, row in rows.items()} == {
        f"{evidence.BASELINE}, seed 0, 1 patients": 0,
        f"{evidence.BASELINE}, seed 0, 2 patients": 1,
    }


def test_epochs_of_the_configs(monkeypatch):
    monkeypatch.setenv("MMGLAN_EPOCHS", "7")
    for row, epochs in ((evidence.BASELINE, 7), (evidence.SELF_TRAINED_BASELINE, 8)):
        cfg = Config.fromfile(find_config(row), import_custom_modules=False)
        assert cfg.train_cfg.max_epochs == cfg.train_cfg.val_interval == epochs
    assert cfg.custom_hooks[-1].begin == 7


def test_two_evaluations_do_not_share_their_files(tmp_path, monkeypatch, capsys):
    """The ground truth among the results is that of the folds one process was asked for."""
    args = ["--scale", "tiny", "--work-dir", str(tmp_path), "--folds", "0", "--bootstrap", "0"]
    results = tmp_path / "tiny" / "results"
    code = "import sys; from pathlib import Path\n"
    code += "from mmglan.experiments.run_directory import hold\n"
    code += "hold(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read(1); "
    code += "Path(sys.argv[2]).touch()"
    ended = tmp_path / "ended"
    words = [sys.executable, "-c", code, str(results), str(ended)]
    other = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"held\n"
    seen = []

    def train(args, data):
        threading.Timer(1, other.communicate, (b"x",)).start()

    monkeypatch.setattr(command, "train_and_test", train)
    monkeypatch.setattr(command, "evaluate_rows", lambda args, data: seen.append(ended.exists()))
    assert command.main(args) == 0
    assert seen == [True]
    assert f"waiting for the evaluation of process {other.pid}" in capsys.readouterr().out
