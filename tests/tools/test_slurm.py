"""A row of a table as a job of a real Slurm of one node, trained on the CPU."""

from pathlib import Path

import pytest
from slurm_node import slurm_node, wait_for_jobs

from mmglan.commands import run_table
from mmglan.evaluation.evaluation_record import read_evaluation

OURS = "glan_r50_fpn_160e_lesions"


@pytest.mark.slow
def test_a_row_is_trained_and_tested_by_its_job(tiny_set, tmp_path, monkeypatch, capfd):
    work_dir = tmp_path / "work dir"
    command = ["--rows", OURS, "--how", "slurm", "--partition", "main", "--gpus", "1"]
    command += ["--work-dir", str(work_dir), "--data-root", str(tiny_set)]
    command += ["--small", "--epochs", "1"]
    with slurm_node() as environment:
        for name in ("SLURM_CONF", "PATH"):
            monkeypatch.setenv(name, environment[name])
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
        monkeypatch.chdir(tmp_path)
        assert run_table.main(command) == 0
        assert "Submitted batch job" in capfd.readouterr().out
        # Handed over again it waits for the first job, and finds the row done.
        assert run_table.main(command) == 0
        wait_for_jobs(environment, 600)
    logs = "\n".join(path.read_text()[-2000:] for path in tmp_path.glob("slurm-*.out"))
    run_dir = work_dir / OURS
    assert (run_dir / "results.metrics.json").exists(), logs
    assert 0 <= read_evaluation(run_dir / "results.metrics.json").by_name()["bbox_AP25"] <= 1
    assert len(list(run_dir.glob("*/vis_data/scalars.json"))) == 1  # trained once
    capfd.readouterr()
    assert run_table.main([*command[:2], "--how", "print", *command[6:]]) == 0
    assert "has its results" in capfd.readouterr().out
