"""The demo on a tiny data set: killed in mid-run, run again, its metrics and files."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from mmglan.commands.demo import parse_args
from mmglan.evaluation.evaluation_record import read_evaluation

SMALL = ["--volumes", "6", "--iterations", "1"]


def _start(repository, work):
    command = [sys.executable, "-m", "mmglan", "demo", "--work-dir", str(work), *SMALL]
    return subprocess.Popen(
        command,
        cwd=repository,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def runs(repository, tmp_path_factory):
    """Work folder of a demo that was killed while it trained, and the output of its second run."""
    work = tmp_path_factory.mktemp("demo")
    process = _start(repository, work)
    for line in process.stdout:
        if line.startswith("[demo] train"):
            break
    time.sleep(2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {p: p.stat().st_mtime_ns for p in (work / "data" / "annotations").iterdir()}
    again = _start(repository, work)
    output, _ = again.communicate()
    assert again.returncode == 0, output
    return work, kept, output


def test_a_second_run_finishes_without_doing_finished_steps_again(runs):
    work, kept, output = runs
    assert kept and all(path.stat().st_mtime_ns == time_ for path, time_ in kept.items())
    assert "bookmarks to pseudo masks and COCO JSON: done before" in output
    done = json.loads((work / "steps.json").read_text())
    assert set(done) == {"prepare", "train", "test-train", "test", "plot-detections", "report"}


def test_it_ends_with_its_files_and_metrics(runs):
    work, _, output = runs
    for name in ("detections.png", "run/report.html", "run/last.pth", "run/results.metrics.json"):
        assert (work / name).stat().st_size > 0
        assert str(work / name) in output
    metrics = output[output.index("[demo] metrics:") :]
    found = read_evaluation(work / "run" / "results_train.metrics.json")
    share = f"{found['bbox_FROC25_fp1'].value:.1%} of {found.size.n_lesions}"
    assert f"training lesions found at 1 FP per image, box IoU 0.25: {share}" in metrics
    assert "test, masks: AP25" in metrics


def test_a_third_run_does_nothing(repository, runs):
    work, _, _ = runs
    third = _start(repository, work)
    output, _ = third.communicate()
    assert third.returncode == 0
    assert output.count(": done before") == 6


def test_other_settings_in_the_same_folder_are_refused(repository, runs):
    work, _, _ = runs
    command = [sys.executable, "-m", "mmglan", "demo", "--work-dir", str(work)]
    done = subprocess.run(
        [*command, "--iterations", "9", "--volumes", "6"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: Expected") and "name another --work-dir" in done.stderr


def test_images_without_bookmarks_are_refused(repository):
    command = [sys.executable, "-m", "mmglan", "demo", "--images", "volumes"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "expected both --images and --bookmarks" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--masks", "m"], "expected --images and --bookmarks with --masks"),
        (["--images", "i", "--bookmarks", "b", "--volumes", "3"], "expected no --volumes"),
        (["--images", "i"], "expected both --images and --bookmarks"),
        (["--volumes", "0"], "expected a whole number of at least 1"),
    ],
)
def test_options_without_effect_are_refused(capsys, words, told):
    with pytest.raises(SystemExit):
        parse_args(words)
    assert told in capsys.readouterr().err
