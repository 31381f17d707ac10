"""Pipes and devices are refused by name, and bytes are counted before they are decoded."""

import json
import os
import struct

import numpy as np
import pytest
from small_sets import HEADER, cross, run, volume

from data_prep import read_bookmarks, read_volume
from data_prep.dataset import checks
from data_prep.errors import DataError
from data_prep.limits import check_file, check_png, max_bytes
from data_prep.volumes import dicom_decode
from data_prep.volumes.find import VolumeIndex


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.dcm", "scan.mha", "scan"])
def test_pipes_are_refused_by_every_reader(tmp_path, name):
    os.mkfifo(tmp_path / name)
    readers = [
        lambda: read_volume(tmp_path / name),
        lambda: read_volume(tmp_path),
        lambda: read_bookmarks(tmp_path / name),
        lambda: VolumeIndex(tmp_path).volumes,
        lambda: checks.load(tmp_path / name),
    ]
    for read in readers:
        with pytest.raises(DataError, match=f"{name}.*Expected a file but got a named pipe"):
            read()


def test_a_pipe_among_the_volumes_is_named_and_the_others_are_prepared(tmp_path, capsys):
    (tmp_path / "images").mkdir()
    volume(tmp_path / "images" / "a.mha")
    os.mkfifo(tmp_path / "images" / "b.mha")
    (tmp_path / "marks.csv").write_text("\n".join([HEADER, cross("a.mha", 1), cross("b.mha", 1)]))
    assert run(tmp_path / "images", tmp_path / "marks.csv", tmp_path / "out") == 1
    assert "b.mha: Expected a file but got a named pipe. Remove it." in capsys.readouterr().err
    report = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert report["volumes"] == {"asked": 2, "used": 1}


def test_files_beyond_the_limit_are_refused_and_the_limit_can_be_raised(tmp_path, monkeypatch):
    with open(tmp_path / "big.json", "wb") as file:
        file.truncate(5 << 30)  # takes no space
    with pytest.raises(DataError, match=r"at most 4 GiB but got 5\.0 GiB.*MMGLAN_MAX_GIB"):
        check_file(tmp_path / "big.json")
    monkeypatch.setenv("MMGLAN_MAX_GIB", "6")
    check_file(tmp_path / "big.json")
    monkeypatch.setenv("MMGLAN_MAX_GIB", "much")
    with pytest.raises(DataError, match="Expected MMGLAN_MAX_GIB as a number above 0"):
        max_bytes()


def test_a_png_of_many_pixels_is_refused_by_its_header(tmp_path):
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 30_000, 30_000)
    with pytest.raises(DataError, match="at most 67108864 pixels but got 30000 x 30000"):
        check_png(bomb, "x.png")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "x.png").write_bytes(bomb)
    assert "is refused: Expected a slice" in checks.read_pixels((str(tmp_path), "x.png")).error


def test_a_decoder_that_asks_for_more_memory_ends_alone(monkeypatch):
    monkeypatch.setenv("MMGLAN_MAX_GIB", "0.1")
    child = os.fork()
    if child == 0:
        dicom_decode.limit_memory()
        try:
            np.ones(1 << 30, np.uint8)
        except MemoryError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
