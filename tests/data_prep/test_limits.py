"""Pipes and devices are refused by name, and bytes are counted before they are decoded."""

import csv
import json
import os
import struct
import tracemalloc
from io import StringIO

import cv2
import numpy as np
import pytest
import SimpleITK as sitk
from coco_sets import make_set
from small_sets import HEADER, cross, run, volume

from data_prep import limits, read_bookmarks, read_volume
from data_prep.dataset import checks
from data_prep.dataset.splits.split import read_split_file
from data_prep.errors import DataError
from data_prep.limits import check_file, check_png, max_bytes
from data_prep.pseudo_masks.box_cases import read_boxes
from data_prep.volumes import decode_child, decode_server
from data_prep.volumes.search.volume_index import VolumeIndex
from mmglan.detections.coco_files import read_ground_truth
from mmglan.detections.coco_results import read_results
from mmglan.evaluation.detection_sets.label_maps import read_ids
from mmglan.evaluation.evaluation_record import read_evaluation
from mmglan.reporting.scalars import read_scalars
from mmglan.review.review_file import read_review


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
    (seen,) = checks.read_pixels((str(tmp_path), ["x.png"]))
    assert "is refused: Expected" in seen.error


def test_a_decoder_that_asks_for_more_memory_ends_alone(monkeypatch):
    monkeypatch.setenv("MMGLAN_MAX_GIB", "0.1")
    child = os.fork()
    if child == 0:
        decode_child.limit_memory(1000, 1000)
        try:
            np.ones(1 << 30, np.uint8)
        except MemoryError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


@pytest.fixture
def small_limit(monkeypatch):
    """Allow files and contents of 16 MiB."""
    monkeypatch.setenv("MMGLAN_MAX_GIB", str(2**-6))


def test_voxels_beyond_the_limit_are_refused_by_the_header(tmp_path, small_limit, monkeypatch):
    image = sitk.GetImageFromArray(np.indices((8, 600, 600))[0])
    for name in ("a.nii.gz", "a.nrrd", "a.mha"):
        sitk.WriteImage(image, str(tmp_path / name), useCompression=True)
        assert (tmp_path / name).stat().st_size < 200_000
        with pytest.raises(DataError, match=f"{name}: Expected at most .* voxels but got"):
            read_volume(tmp_path / name)
    monkeypatch.setenv("MMGLAN_MAX_GIB", "1")
    assert read_volume(tmp_path / "a.nrrd").array.shape == (8, 600, 600)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha"])
def test_compressed_voxels_are_unpacked_elsewhere(tmp_path, monkeypatch, name):
    volume(tmp_path / name)
    packed = tmp_path / f"packed_{name}"
    sitk.WriteImage(sitk.ReadImage(str(tmp_path / name)), str(packed), useCompression=True)
    expected = read_volume(packed).array
    monkeypatch.setattr(decode_server, "TIMEOUT_S", 1e-4)
    monkeypatch.setattr(decode_server, "TIMEOUT_PER_MIB_S", 0.0)
    with pytest.raises(DataError, match="their decoder failed"):
        read_volume(packed)
    monkeypatch.undo()
    assert np.array_equal(read_volume(packed).array, expected)


def test_a_slice_that_cannot_be_decoded_costs_no_other(tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    sound = cv2.imencode(".png", np.arange(4096, dtype=np.uint16).reshape(64, 64))[1].tobytes()
    names = ["a.png", "b.png", "c.png"]
    for name, content in zip(names, (sound, sound[:60], sound), strict=True):
        (tmp_path / "images" / name).write_bytes(content)
    seen = checks.read_pixels((str(tmp_path), names))
    assert [one.shape for one in seen] == [(64, 64), (), (64, 64)]
    assert "a broken one" in seen[1].error
    monkeypatch.setattr(decode_server, "TIMEOUT_S", 1e-4)
    monkeypatch.setattr(decode_server, "TIMEOUT_PER_MIB_S", 0.0)
    seen = checks.read_pixels((str(tmp_path), names))
    assert ["their decoder failed" in one.error for one in seen] == [True] * 3


READERS_OF_JSON = {
    "annotations": checks.load,
    "ground truth": read_ground_truth,
    "results": lambda path: read_results(path, read_ground_truth(make_set(1)[0])),
    "metrics": read_evaluation,
    "scalars": lambda path: read_scalars([path]),
    "review": read_review,
    "markups": lambda path: read_bookmarks(path, volume="a.mha"),
}


@pytest.mark.parametrize("kind", READERS_OF_JSON)
def test_json_is_sized_before_it_is_decoded(tmp_path, small_limit, kind):
    """3 bytes of text become a dictionary of 64."""
    path = tmp_path / "a.mrk.json"
    path.write_text("[" + ",".join(["{}"] * 100_000) + "]")
    with pytest.raises(ValueError, match="GiB of memory for its values but got") as caught:
        READERS_OF_JSON[kind](path)
    assert "MMGLAN_MAX_GIB" in str(caught.value)
    path.write_text("[" * 200_000)
    with pytest.raises(ValueError):
        READERS_OF_JSON[kind](path)


READERS_OF_TABLES = {
    "bookmarks": lambda path: read_bookmarks(path),
    "split": read_split_file,
    "boxes": read_boxes,
    "ids": read_ids,
}


@pytest.mark.parametrize("kind", READERS_OF_TABLES)
def test_tables_are_sized_before_they_are_split_into_cells(tmp_path, small_limit, kind):
    path = tmp_path / "a.csv"
    path.write_text("," * 300_000)
    with pytest.raises(DataError, match="GiB of memory for its cells but got"):
        READERS_OF_TABLES[kind](path)


def test_the_estimates_are_not_below_what_python_takes():
    count = 2_000
    texts = ["{}", "[]", '{"a":1}', "1.5", '"ab"', "[{}]", '{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6}']
    for text in texts:
        content = ("[" + ",".join([text] * count) + "]").encode()
        assert memory_of(lambda content=content: json.loads(content)) < limits.json_memory(content)
    for row in (",,,,", "a", "a,b;c\td", ""):
        table = (row + "\n") * count
        needed = memory_of(lambda table=table: list(csv.DictReader(StringIO(table))))
        assert needed < limits.table_memory(table.encode())


def memory_of(action):
    tracemalloc.start()
    kept = action()
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert kept is not None
    return used
