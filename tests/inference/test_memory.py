"""Large scans stand in a file that the system reads and drops; what is read stays the same."""

import errno
import mmap
import tempfile
from pathlib import Path

import numpy as np
import pytest

from data_prep.volumes.volume import read_volume
from mmglan.inference import memory
from mmglan.inference.volume_detector import VolumeDetector


@pytest.fixture
def volume(scan_in, monkeypatch):
    volume = read_volume(scan_in("sagittal"))
    monkeypatch.setattr(memory, "_IN_A_FILE_FROM", volume.array.nbytes)
    return volume


def resident_kib(array: np.ndarray) -> int:
    """Size of the part of an array's own mapping that is in memory."""
    address = array.__array_interface__["data"][0]
    with open("/proc/self/smaps") as lines:
        for line in lines:
            first = line.split("-")[0]
            if len(first) < 20 and "-" in line.split()[0] and int(first, 16) == address:
                return next(int(one.split()[1]) for one in lines if one.startswith("Rss:"))
    raise AssertionError("no mapping")


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="asks Linux what is in memory")
def test_voxels_in_a_file_are_the_same_and_leave_the_memory(volume):
    moved = memory.in_a_file(volume)
    assert np.array_equal(moved.array, volume.array) and moved.array.dtype == volume.array.dtype
    assert not moved.array.flags.writeable
    assert vars(moved) | {"array": None} == vars(volume) | {"array": None}
    assert resident_kib(moved.array) > 0
    memory.give_back(moved.array[2:, ::-1])
    assert resident_kib(moved.array) == 0
    assert np.array_equal(moved.array, volume.array)


def test_the_findings_are_the_same(volume, detector):
    given, labels = detector.detect_in(volume)
    found, moved = detector.detect_in(memory.in_a_file(volume))
    assert given == found and len(found.lesions) == 2 and np.array_equal(labels, moved)


def test_small_scans_stay(volume, monkeypatch):
    monkeypatch.setattr(memory, "_IN_A_FILE_FROM", volume.array.nbytes + 1)
    assert memory.in_a_file(volume) is volume
    memory.give_back(volume.array)


@pytest.mark.parametrize("call", ["TemporaryFile", "mmap"])
def test_a_full_disk_costs_nothing(volume, monkeypatch, call):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile if call == "TemporaryFile" else mmap, call, full)
    assert memory.in_a_file(volume) is volume


def test_detect_moves_what_it_reads(scan_in, volume, detector, monkeypatch):
    seen: list = []
    monkeypatch.setattr(VolumeDetector, "detect_in", lambda self, one, **_: seen.append(one) or [1])
    assert detector.detect(scan_in("axial")) == 1
    assert isinstance(seen[0].array.base.base.obj, mmap.mmap)
