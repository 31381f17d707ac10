"""The inference benchmark on a tiny network."""

import json

import pytest

from tools.benchmarks import infer_speed


def test_all_ways_find_the_same(tiny_model, tmp_path, capsys):
    config, checkpoint = tiny_model
    words = ["--config", config, "--checkpoint", checkpoint, "--slices", "3", "--size", "64"]
    words += ["--rounds", "1", "--scans", "2", "--threads", "1", "--depths"]
    words += ["--out", str(tmp_path / "r.json")]
    assert infer_speed.main(words) == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["same"] == pytest.approx([0, 0], abs=1e-3)
    assert all(0 < report["scans"][scans]["network_share"] <= 1 for scans in ("1", "2"))
    assert "slices per second" in capsys.readouterr().out
