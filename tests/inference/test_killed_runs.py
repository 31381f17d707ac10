"""Runs that are killed at any moment and started again give the bytes of an undisturbed one."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_series import write_series

KILLS = 10


def write_studies(folder, count):
    """Small scans with bright spots: two NIfTI files for each DICOM series."""
    random = np.random.default_rng(0)
    folder.mkdir()
    for number in range(count):
        array = random.integers(0, 400, (3, 24, 24)).astype(np.int16)
        array[1, 6:14, 8:18] = 900
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((0.8, 0.8, 3.0))
        if number % 3:
            sitk.WriteImage(image, str(folder / f"s{number:03d}.nii.gz"))
        else:
            write_series(folder / f"s{number:03d}", image)


def start(model, scans, out):
    command = [sys.executable, "-m", "mmglan", "infer", *model, str(scans), "--out-dir", str(out)]
    command += ["--jobs", "2", "--quiet", "--threshold", "0.2"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def done(out):
    return len(list(out.glob("v*"))) if out.exists() else 0


def tree(folder):
    files = [p for p in folder.rglob("*") if p.is_file() and ".state" not in p.parts]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("count", [int(os.environ.get("MMGLAN_STUDIES", 300))])
def test_ten_kills(tiny_model, tmp_path, count):
    write_studies(tmp_path / "in", count)
    undisturbed = start(tiny_model, tmp_path / "in", tmp_path / "a")
    said = undisturbed.communicate()[1]
    assert undisturbed.returncode == 0, said[-2000:]
    killed = 0
    for number in range(KILLS):
        process = start(tiny_model, tmp_path / "in", tmp_path / "b")
        # Somewhere in the next part of the scans, the last of them left to do.
        wanted = max(done(tmp_path / "b"), (number * count) // (KILLS + 1)) + 1
        while process.poll() is None and done(tmp_path / "b") < wanted:
            time.sleep(0.02)
        killed += process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        time.sleep(1.0)  # its workers see that it has gone
    assert killed == KILLS
    assert 0 < done(tmp_path / "b") < count
    last = start(tiny_model, tmp_path / "in", tmp_path / "b")
    assert last.communicate()[1] == b"" or last.returncode == 0
    assert last.returncode == 0 and done(tmp_path / "b") == count
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
