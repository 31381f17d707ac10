"""The scripts behind two claims about `prepare`, on a few volumes: speed, and being killed."""

import importlib.util
import json

import pytest


@pytest.fixture(scope="module")
def script(repository):
    def load(name):
        path = repository / "tools" / "benchmarks" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def test_killed_runs_end_with_the_same_bytes(script, tmp_path, capsys):
    options = ["--kills", "1", "--volumes", "4", "--seed", "2", "--work-dir", str(tmp_path / "w")]
    assert script("prepare_kill").main([*options, "--no-chain"]) == 0
    text = capsys.readouterr().out
    assert text.count("same bytes: True") == 1
    assert text.endswith("0 differ\n")


def test_throughput_is_measured_in_all_its_parts(script, tmp_path, capsys):
    options = ["--volumes", "6", "--shape", "8,64,64", "--work-dir", str(tmp_path)]
    assert script("prepare_throughput").main(options) == 0
    result = json.loads((tmp_path / "throughput.json").read_bytes())
    assert result["same_bytes"] is True
    clocked = result["runs"]["one worker, clocked"]
    shares = [clocked[f"share_{name}"] for name in ("cv2", "zlib")]  # NIfTI needs no SimpleITK
    assert min(shares) > 0 and sum(shares) < 1
    assert result["runs"]["two workers"]["bookmarks"] == clocked["bookmarks"] > 5
    assert result["runs"]["one worker"]["peak_mib"] > 50
    assert not list(tmp_path.glob("data*"))
