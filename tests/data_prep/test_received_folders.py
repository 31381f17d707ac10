"""Files of a received folder are data: they name no place to write and nothing outside to read."""

import csv
import json
import os
import shutil

import cv2
import numpy as np
import pytest

from data_prep import atomic_files, prepare, verify
from data_prep.dataset.output_folder import OutputFolder, write_output
from data_prep.errors import DataError
from data_prep.shown_text import cell_text, chart_text, csv_cell, markdown_text

HOSTILE = "pelvis\n\x1b[31m# ](http://evil.example/?q) <img src=x> www.evil.example |"


@pytest.fixture(scope="module")
def made(phantom_dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "out"
    source = ["--images", phantom_dataset / "images", "--bookmarks"]
    source += [phantom_dataset / "bookmarks.csv", "--out-dir", out, "--quiet", "--overlays", 0]
    assert prepare.main([str(part) for part in source]) == 0
    return out


@pytest.fixture
def received(made, tmp_path):
    shutil.copytree(made, tmp_path / "received")
    return tmp_path / "received"


@pytest.fixture
def treasure(tmp_path):
    """What a received folder must neither change nor show."""
    file = tmp_path / "treasure" / "authorized_keys"
    file.parent.mkdir()
    file.write_text("years of work")
    yield file
    assert file.read_text() == "years of work"
    assert [entry.name for entry in file.parent.iterdir()] == ["authorized_keys"]


def files_below(folder):
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}


def edit(folder, change):
    path = folder / "annotations" / "train.json"
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content))


def test_verify_writes_nothing_unless_asked(received, capsys):
    before = files_below(received)
    assert verify.main([str(received), "--quiet"]) == 0
    assert files_below(received) == before
    assert "--out-dir" in capsys.readouterr().out


def test_verify_writes_through_no_link_of_the_folder(received, treasure, capsys):
    shutil.rmtree(received / "overlays", ignore_errors=True)
    (received / "overlays").symlink_to(treasure.parent)
    out = received / "overlays" / "verify"
    assert verify.main([str(received), "--out-dir", str(out), "--quiet"]) == 2
    assert "overlays: Expected a folder or file of the output but got a link" in (
        capsys.readouterr().err
    )


def test_texts_of_the_data_are_shown_as_text(received, tmp_path, capsys):
    edit(received, lambda c: [a.update(site=HOSTILE) for a in c["annotations"]])
    verify.main([str(received), "--out-dir", str(tmp_path / "seen"), "--quiet"])
    for text in (capsys.readouterr().out, (tmp_path / "seen/dataset_report.md").read_text()):
        assert "\x1b" not in text and "\n# " not in text and "<img" not in text.replace("\\<", "")
        assert "http://" not in text and " www.evil" not in text
        assert r"\](http\://evil.example/?q)" in text


@pytest.mark.parametrize("name", ["images", "annotations", "overlays", ".state", ".state/tmp"])
def test_linked_folders_of_an_output_are_refused(tmp_path, treasure, name):
    out = tmp_path / "out"
    (out / ".state").mkdir(parents=True)
    if name == ".state":
        (out / ".state").rmdir()
    (out / name).symlink_to(treasure.parent)
    with pytest.raises(DataError, match="but got a link"):
        OutputFolder(out, {}, overwrite=True)


def test_a_linked_folder_below_the_images_is_refused(tmp_path, treasure):
    (tmp_path / "out" / "images").mkdir(parents=True)
    (tmp_path / "out" / "images" / "v0001").symlink_to(treasure.parent)
    with pytest.raises(DataError, match=r"images/v0001: Expected .* but got a link"):
        write_output(tmp_path / "out", "images/v0001/0000.png", b"png")


@pytest.mark.parametrize("kind", ["link", "hard link", "fifo", "folder"])
def test_a_lock_is_a_plain_file(tmp_path, treasure, kind):
    lock = tmp_path / "lock"
    {
        "link": lambda: lock.symlink_to(treasure),
        "hard link": lambda: os.link(treasure, lock),
        "fifo": lambda: os.mkfifo(lock),
        "folder": lock.mkdir,
    }[kind]()
    with pytest.raises(OSError, match=r"link|director"):
        atomic_files.open_lock(lock)


@pytest.mark.parametrize("key", ["file_name", "neighbours"])
@pytest.mark.parametrize("through", ["absolute", "dots", "link"])
def test_verify_reads_nothing_outside(received, tmp_path, key, through):
    outside = tmp_path / "secret" / "0000.png"
    outside.parent.mkdir()
    cv2.imwrite(str(outside), np.arange(6400, dtype=np.uint16).reshape(80, 80))
    (received / "images" / "linked").symlink_to(outside.parent)
    name = {
        "absolute": str(outside),
        "dots": "../../secret/0000.png",
        "link": "linked/0000.png",
    }[through]
    value = name if key == "file_name" else [name]
    edit(received, lambda content: content["images"][0].update({key: value}))
    report, _ = verify.verify(received, progress=False)
    wanted = f"images/{name} is no file below the folder images of the data set"
    assert any(wanted in line for line in report["problems"]), report["problems"]
    if through == "link":
        assert (
            verify.draw_sheet(
                received,
                {"train": json.loads((received / "annotations" / "train.json").read_bytes())},
            )
            is not None
        )


def test_linked_annotations_are_refused(received, tmp_path, capsys):
    moved = shutil.move(received / "annotations" / "val.json", tmp_path / "private.json")
    (received / "annotations" / "val.json").symlink_to(moved)
    assert verify.main([str(received), "--quiet"]) == 2
    assert "annotations/val.json: Expected a path inside" in capsys.readouterr().err


def test_formula_cells_are_texts_and_come_back(tmp_path):
    texts = ["=1+1", "+1+1", "-2+3", "@x", "\t=1", "'=1", "''", "'", "-1.5", "+3e4", "a=1", "-1_0"]
    path = atomic_files.write_csv(tmp_path / "t.csv", ["text"], [[text] for text in texts])
    with path.open(newline="") as stream:
        cells = [row[0] for row in csv.reader(stream)][1:]
    assert [cell_text(cell) for cell in cells] == texts
    assert [cell for cell in cells if cell[:1] in "=+-@\t"] == ["-1.5", "+3e4"]
    assert csv_cell(-3) == -3


def test_markdown_and_charts_hold_no_mark():
    assert markdown_text("a_b 3 [x] (y)") == "a_b 3 [x] (y)"
    assert markdown_text("[x](javascript:y)") == r"[x\](javascript\:y)"
    assert markdown_text("me@x.org &amp; `c`") == r"me\@x.org \&amp; \`c\`"
    assert chart_text("n < 10<br>5 <a href='x'>") == "n &lt; 10<br>5 &lt;a href='x'>"


def test_masks_that_would_end_the_process_are_problems(received):
    huge = {"size": [100_000, 100_000], "counts": "PPYo1"}

    def change(content):
        content["annotations"][0]["segmentation"] = huge
        content["annotations"][1]["segmentation"]["counts"] = "oooooooooooo0" * 9
        image = {image["id"]: image for image in content["images"]}
        image[content["annotations"][0]["image_id"]].update(height=100_000, width=100_000)

    edit(received, change)
    report, _ = verify.verify(received, progress=False)
    problems = " ".join(report["problems"])
    assert "annotation 1 on v0001/v0001_0001.png: empty mask" in problems
    assert "annotation 2 on v0001/v0001_0003.png: damaged mask" in problems
