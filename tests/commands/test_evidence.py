"""`mmglan evidence`: what is asked for, and folds that are evaluated as one test set."""

import json

import pytest

from mmglan.commands import evidence as command
from mmglan.experiments import evidence


def test_source_and_folds_are_checked(tmp_path, capsys):
    for words, message in (
        ([], "expected --source"),
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
    # A second call prepares nothing and gives the same.
    monkeypatch.setattr(command.prepare, "main", None)
    assert command.evaluate_rows(args, command.prepare_data(args)) == summary
