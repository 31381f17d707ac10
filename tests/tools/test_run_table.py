import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmglan.commands import run_table
from mmglan.evaluation.evaluation_record import read_evaluation

ROOT = Path(__file__).resolve().parents[2]
OURS = "glan_r50_fpn_160e_lesions"


def test_rows_of_the_first_table_in_its_order():
    assert run_table.stems_of(1) == [
        "yolov3_d53_160e_lesions",
        "faster-rcnn_r50_fpn_160e_lesions",
        "mask-rcnn_r50_fpn_wo-pseudo-mask_160e_lesions",
        "detectors_cascade-rcnn_r50_160e_lesions",
        "mask-rcnn_r50_fpn_160e_lesions",
        "cascade-mask-rcnn_r50_fpn_160e_lesions",
        OURS,
    ]


def test_print_names_two_commands_per_open_row(tmp_path, capsys):
    done = tmp_path / "glan_r50_fpn_wo-attention_160e_lesions"
    done.mkdir()
    (done / "results.metrics.json").write_text("{}")
    command = ["--table", "2", "--how", "print", "--work-dir", str(tmp_path), "--gpus", "4"]
    assert run_table.main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{done.name}: has its results"
    rows = run_table.stems_of(2)
    assert len(lines) == 1 + 2 * (len(rows) - 1)
    assert lines[1].startswith("bash ") and "dist_train.sh" in lines[1]
    assert lines[1].endswith("--resume --auto-scale-lr") and " 4 --work-dir" in lines[1]
    assert "dist_test.sh" in lines[2]
    assert run_table.main([*command, "--tta"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 * (len(rows) - 1) + 1  # of the finished row one test is open
    mirrored = [line for line in lines if line.endswith("--tta")]
    assert all(f"/tta/{row} " in line for row, line in zip(rows, mirrored, strict=True))


def test_slurm_gets_one_job_per_row(tmp_path, monkeypatch, capfd):
    # A stand-in for sbatch that prints its arguments: the dry run of a machine without Slurm.
    (tmp_path / "sbatch").write_text('#!/bin/sh\nfor a in "$@"; do echo "<$a>"; done\n')
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.chdir(tmp_path)
    command = ["--rows", OURS, "--how", "slurm", "--partition", "gpu", "--gpus", "2"]
    command += ["--work-dir", "w", "--data-root", "d"]
    assert run_table.main([*command, "--small", "--epochs", "3"]) == 0
    words = capfd.readouterr().out.split("\n")
    assert words[words.index("<--partition>") + 1] == "<gpu>"
    assert words[words.index("<--gres>") + 1] == "<gpu:2>"
    job = words[words.index("<--wrap>") + 1]
    assert f"-m mmglan run-table --rows {OURS} --gpus 2" in job and "--no-collect" in job
    # The job starts elsewhere, and does what was asked for here, one at a time.
    assert f"--work-dir {tmp_path}/w " in job and f"--data-root {tmp_path}/d " in job
    assert "--small --epochs 3" in job and "--tta" not in job
    assert run_table.main([*command, "--tta"]) == 0
    assert "--tta" in capfd.readouterr().out
    assert words[words.index("<--dependency>") + 1] == "<singleton>"
    assert words[words.index("<--job-name>") + 1] == f"<w-{OURS}>"


def test_small_rows_do_not_pass_for_full_ones(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    full = run_table.parse_args(["--table", "2"])
    small = run_table.parse_args(["--table", "2", "--small"])
    assert (full.work_dir, small.work_dir) == (
        Path("work_dirs/paper"),
        Path("work_dirs/paper-small"),
    )
    command = ["--rows", OURS, "--how", "print", "--small", "--data-root", "some data"]
    assert run_table.main(command) == 0
    for line in capsys.readouterr().out.splitlines():
        assert line.startswith("MMGLAN_DATA='some data/' ")
        assert f" work_dirs/paper-small/configs/{OURS}.py " in line
    assert Path(f"work_dirs/paper-small/configs/{OURS}.py").is_file()


def test_shell_scripts_find_this_python(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(run_table, "run_command", lambda *words: started.append(words))
    monkeypatch.setattr(run_table, "checkpoint_of", lambda run_dir: run_dir / "best.pth")
    monkeypatch.setenv("PATH", "/bin")
    run_table.run_row(OURS, run_table.parse_args(["--rows", OURS, "--gpus", "2"]))
    assert [words[2]["PATH"] for words in started] == [f"{Path(sys.executable).parent}:/bin"] * 2


def test_row_is_trained_tested_tabled_and_then_skipped(tiny_set, tmp_path, capfd):
    command = ["--rows", OURS, "--small", "--epochs", "1", "--data-root", str(tiny_set)]
    command += ["--work-dir", str(tmp_path)]
    assert run_table.main(command) == 0
    found = read_evaluation(tmp_path / OURS / "results.metrics.json")
    assert found.size.n_lesions > 0 and 0 <= found["bbox_AP25"].value <= 1
    table = (tmp_path / "tables/tables.md").read_text()
    assert "54.57" in table  # the paper's figure beside ours
    log = tmp_path / OURS / "train.log"
    before = log.stat().st_mtime_ns
    capfd.readouterr()
    other = tmp_path / "glan_r50_fpn_wo-attention_160e_lesions"  # of an earlier call
    shutil.copytree(tmp_path / OURS, other)
    (other / f"{OURS}.py").rename(other / f"{other.name}.py")
    assert run_table.main(command) == 0
    assert f"{OURS}: has its results" in capfd.readouterr().out
    assert log.stat().st_mtime_ns == before
    table = (tmp_path / "tables/tables.md").read_text()
    assert "| Ours w/o global-local attention | –" not in table


def test_mirrored_slices_are_tested_beside_the_others(tiny_set, tmp_path, capfd):
    command = ["--rows", OURS, "--small", "--epochs", "1", "--data-root", str(tiny_set)]
    command += ["--work-dir", str(tmp_path), "--no-collect"]
    assert run_table.main(command) == 0
    assert run_table.main([*command, "--tta"]) == 0
    both = [tmp_path / OURS, tmp_path / "tta" / OURS]
    found = [json.loads((run / "results.bbox.json").read_bytes()) for run in both]
    assert found[0] != found[1] and len(found[1]) > 0
    assert len(found[1]) == len(json.loads((both[1] / "results.segm.json").read_bytes()))
    capfd.readouterr()
    assert run_table.main([*command, "--tta"]) == 0
    assert f"{OURS}: has its results" in capfd.readouterr().out


def test_failing_row_is_told_and_gives_a_failing_status(tmp_path, capsys, monkeypatch):
    def fail(*words):
        raise RuntimeError("Expected to train")

    monkeypatch.setattr(run_table, "run_command", fail)
    assert run_table.main(["--rows", OURS, "--work-dir", str(tmp_path)]) == 1
    assert f"error: {OURS}: Expected to train" in capsys.readouterr().err


def test_unknown_row_is_refused_before_anything_runs(tmp_path, capsys):
    assert run_table.main(["--rows", OURS, OURS[1:], "--work-dir", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"error: {OURS[1:]}: Expected a config") and f"mean {OURS}" in message


def test_best_checkpoint_is_tested_else_the_last(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Expected a checkpoint in .* but found none. See"):
        run_table.checkpoint_of(tmp_path)
    (tmp_path / "last_checkpoint").write_text("/elsewhere/epoch_2.pth")
    torch.save({}, tmp_path / "epoch_2.pth")
    best = tmp_path / "best_lesion_bbox_AP25_epoch_1.pth"
    best.touch()  # as a process that was killed leaves it
    assert run_table.checkpoint_of(tmp_path) == tmp_path / "epoch_2.pth"
    torch.save({}, best)
    assert run_table.checkpoint_of(tmp_path) == best


def test_rows_on_one_machine_do_not_share_a_port(monkeypatch):
    started = []
    monkeypatch.setattr(run_table, "run_command", lambda *words: started.append(words[2]))
    monkeypatch.setattr(run_table, "checkpoint_of", lambda run_dir: run_dir / "best.pth")
    monkeypatch.setattr(run_table, "free_port", lambda: 12345)
    monkeypatch.delenv("PORT", raising=False)
    args = run_table.parse_args(["--rows", OURS, "--gpus", "2"])
    run_table.run_row(OURS, args)
    monkeypatch.setenv("PORT", "29600")
    run_table.run_row(OURS, args)
    assert [words["PORT"] for words in started] == ["12345"] * 2 + ["29600"] * 2


def test_port_is_free():
    with socket.socket() as listener:
        listener.bind(("", run_table.free_port()))


def test_printed_lines_can_be_given_to_a_shell(tmp_path, capsys):
    run_dir = tmp_path / "a b" / OURS
    run_dir.mkdir(parents=True)
    best = run_dir / "best_lesion_bbox_AP25_epoch_5.pth"
    best.touch()
    command = ["--rows", OURS, "--how", "print", "--work-dir", str(tmp_path / "a b")]
    assert run_table.main(command) == 0
    train, test = capsys.readouterr().out.splitlines()
    words = [
        subprocess.run(
            ["bash", "-c", f'for w in {line}; do echo "$w"; done'], capture_output=True, text=True
        ).stdout.splitlines()
        for line in (train, test)
    ]
    assert words[0][5:7] == ["--work-dir", str(run_dir)]
    assert words[1][5:] == [str(best), "--work-dir", str(run_dir)]


@pytest.mark.parametrize("option", ["--gpus", "--epochs"])
@pytest.mark.parametrize("count", ["0", "-1", "two"])
def test_counts_are_one_or_more(capsys, option, count):
    with pytest.raises(SystemExit):
        run_table.parse_args(["--rows", OURS, "--small", f"{option}={count}"])
    assert f"expected a whole number of at least 1 but got {count}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--partition", "gpu"], "expected --how slurm"),
        (["--sweeps", "folder"], "goes with --weights best"),
    ],
)
def test_options_without_effect_are_refused(capsys, words, told):
    with pytest.raises(SystemExit):
        run_table.parse_args(["--rows", OURS, *words])
    assert told in capsys.readouterr().err


def test_machine_without_slurm_is_told(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit):
        run_table.parse_args(["--rows", OURS, "--how", "slurm"])
    assert "expected Slurm's sbatch on this machine but found none" in capsys.readouterr().err


def test_rows_of_several_data_sets_are_not_run_on_one(capsys, monkeypatch):
    command = ["--table", "4", "--how", "print"]
    monkeypatch.delenv("MMGLAN_DATA", raising=False)
    assert run_table.main(command) == 0
    capsys.readouterr()
    assert run_table.main([*command, "--data-root", "d"]) == 2
    assert "but got rows of tcia-abdomen, tcia-mediastinum" in capsys.readouterr().err
    monkeypatch.setenv("MMGLAN_DATA", "d/")
    assert run_table.main(command) == 2
    assert run_table.main(["--rows", OURS, "glan_r50_fpn_160e_volumes", "--how", "print"]) == 0


def test_slurm_job_finds_the_data_that_the_environment_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_table.shutil, "which", lambda name: name)
    monkeypatch.setenv("MMGLAN_DATA", "d/")
    args = run_table.parse_args(["--rows", OURS, "--how", "slurm"])
    assert f"--data-root {tmp_path}/d" in run_table.slurm_command(OURS, args)[-1]


def test_epochs_belong_to_small_forms():
    with pytest.raises(SystemExit):
        run_table.parse_args(["--table", "2", "--epochs", "3"])
