"""Which checkpoint a run goes on from, and that two trainings do not share a directory."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmglan.experiments.run_directory import (
    hold,
    holder_name,
    is_held,
    latest_checkpoint,
    refuse_links,
)

ROOT = Path(__file__).resolve().parents[1]


def save(path: Path, share: float = 1.0) -> Path:
    """Write a checkpoint, or the first part of one, as a killed process leaves it."""
    torch.save({"weights": torch.zeros(100)}, path)
    os.truncate(path, int(share * path.stat().st_size))
    return path


def test_checkpoint_is_found_where_the_directory_is_now(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    first, second = save(tmp_path / "epoch_9.pth"), save(tmp_path / "epoch_10.pth")
    assert latest_checkpoint(tmp_path) is None  # nothing noted: another training's files
    (tmp_path / "last_checkpoint").write_text(f"/elsewhere/{second.name}\n")
    assert latest_checkpoint(tmp_path) == second
    (tmp_path / "last_checkpoint").write_text(str(first))
    assert latest_checkpoint(tmp_path) == first


@pytest.mark.parametrize(
    "note", ["{}", "http://127.0.0.1:1/epoch_3.pth", "../epoch_3.pth", "link.pth"]
)
def test_only_checkpoints_of_the_run_directory_are_resumed(tmp_path, note):
    (tmp_path / "run").mkdir()
    outside = save(tmp_path / "epoch_3.pth")
    (tmp_path / "run/link.pth").symlink_to(outside)
    (tmp_path / "run/last_checkpoint").write_text(note.format(outside))
    assert latest_checkpoint(tmp_path / "run") is None
    (tmp_path / "run/link.pth").unlink()
    inside = save(tmp_path / "run/epoch_2.pth")
    assert latest_checkpoint(tmp_path / "run") == inside


@pytest.mark.parametrize("name", [".training.lock", "last_checkpoint", "vis_data", "config.py"])
def test_links_out_of_a_run_directory_are_refused(tmp_path, name):
    treasure = tmp_path / "treasure"
    treasure.write_text("years of work")
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / name).symlink_to(treasure)
    for act in (hold, refuse_links):
        with pytest.raises(OSError, match=f"{name}: Expected files of this run but got a link"):
            act(run_dir)
    if name == ".training.lock":
        assert holder_name(run_dir) == "another process"
        with pytest.raises(OSError, match="link"):
            is_held(run_dir)
    assert treasure.read_text() == "years of work"
    (run_dir / name).unlink()
    (run_dir / "last.pth").symlink_to(save(run_dir / "epoch_1.pth").name)
    refuse_links(run_dir)


@pytest.mark.parametrize("note", ["run/epoch_10.pth", ""])
def test_checkpoint_cut_short_by_a_kill_is_passed_over(tmp_path, note):
    whole = save(tmp_path / "epoch_9.pth")
    save(tmp_path / "epoch_8.pth")
    save(tmp_path / "best_lesion_bbox_AP25_epoch_5.pth")
    save(tmp_path / "epoch_10.pth", 0.5)
    (tmp_path / "last_checkpoint").write_text(note)
    assert latest_checkpoint(tmp_path) == whole
    whole.unlink(), (tmp_path / "epoch_8.pth").unlink()
    assert latest_checkpoint(tmp_path) is None


HOLDER = """
import os, sys, time
from pathlib import Path
from mmglan.experiments.run_directory import hold
hold(Path(sys.argv[1]))
if os.fork() == 0:
    time.sleep(600)  # a data loader that outlives its parent for a while
print(os.getpid(), flush=True)
time.sleep(600)
"""


def test_directory_is_held_until_its_process_ends(tmp_path):
    run_dir = tmp_path / "run"
    assert not is_held(run_dir)
    command = [sys.executable, "-c", HOLDER, str(run_dir)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    holder = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert holder.stdout.readline().strip() == str(holder.pid)
        assert is_held(run_dir)
        expected = rf"Expected a directory .* process {holder.pid} on .*name another --work-dir"
        with pytest.raises(BlockingIOError, match=expected):
            hold(run_dir)
        holder.kill()
        holder.wait()
        assert not is_held(run_dir)
        hold(run_dir)
    finally:
        os.killpg(holder.pid, 9)


def test_file_system_without_locks_gives_a_warning(tmp_path, monkeypatch, capsys):
    def refuse(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    hold(tmp_path)
    assert "not guarded against a second training" in capsys.readouterr().err
    assert not is_held(tmp_path)


def test_who_waits_gets_the_directory_when_the_holder_ends(tmp_path):
    code = "import sys, time; from pathlib import Path\n"
    code += "from mmglan.experiments.run_directory import hold\n"
    code += "hold(Path(sys.argv[1])); print('held', flush=True); time.sleep(1)"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT.parent
    )
    assert holder.stdout.readline() == b"held\n" and is_held(tmp_path)
    assert holder.poll() is None
    hold(tmp_path, wait=True)
    assert holder.wait(timeout=10) == 0  # it had ended, or was about to
    assert f"process {os.getpid()} " in holder_name(tmp_path)
