"""Findings of several checkpoints: what recurs, what is known, and in which order to ask."""

from dataclasses import replace

import numpy as np
import pytest

from data_prep.bookmarks.read_bookmarks import read_bookmarks
from mmglan.commands.mine import main
from mmglan.detections.findings import (
    Findings,
    Lesion,
    RecistMeasurement,
    ScanGeometry,
    SliceDetection,
)
from mmglan.inference.outputs.tables import csv_of, json_of
from mmglan.review.prediction_bank import Rules, candidates
from mmglan.review.reader_agreement import Cross

ONES, NULLS = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
GEOMETRY = ScanGeometry((4, 9, 9), ONES, (9, 9, 4), ONES, NULLS, (1, 0, 0, 0, 1, 0, 0, 0, 1))


def lesion(x, score, n_slices=3):
    long, short = ((x - 5.0, 0.0), (x + 5.0, 0.0)), ((x, -3.0), (x, 3.0))
    lps = [tuple((*point, 0.0) for point in axis) for axis in (long, short)]
    recist = RecistMeasurement(0, long, short, *lps, 10.0, 6.0)
    parts = tuple(SliceDetection(z, (0.0, 0.0, 5.0, 5.0), score) for z in range(n_slices))
    return Lesion(1, score, None, (0, 0, 0, 4, 4, 2), (x, 0.0, 0.0), None, recist, parts)


def state(*lesions):
    return Findings("v0001", GEOMETRY, lesions)


STATES = [
    state(lesion(0, 0.9), lesion(100, 0.6), lesion(200, 0.8)),
    state(lesion(1, 0.8), lesion(200, 0.9)),
    state(lesion(0.5, 0.7), lesion(101, 0.6), lesion(200, 0.7)),
]


def test_findings_of_one_place_are_one_candidate():
    ends = [[195, 0, 0], [205, 0, 0], [200, -3, 0], [200, 3, 0]]
    found = candidates(STATES, [Cross("any", np.array(ends, float))])
    assert [len(one.scores) for one in found] == [2, 3]  # 200 is marked
    doubtful, sure = found
    assert sure.mean_score == pytest.approx(0.8) and sure.lesion.score == 0.9
    assert doubtful.mean_score == pytest.approx(0.4) and doubtful.share == pytest.approx(2 / 3)
    # Entropy of 0.4 is 0.971 bits, on three slices.
    assert doubtful.effect == pytest.approx(3 * 0.970951, abs=1e-5)
    assert sure.is_lesion(Rules()) and not doubtful.is_lesion(Rules())
    assert not sure.is_lesion(Rules(slices=4)) and not sure.is_lesion(Rules(score=0.81))


def test_findings_without_axes_and_none():
    bare = replace(lesion(0, 0.9), recist=None)
    assert candidates([state(bare), state()]) == [] and candidates([]) == []
    assert candidates([state(lesion(0, 1.0))])[0].effect == 0


def test_the_table_is_one_of_bookmarks(tmp_path, capsys):
    folders = []
    for number, one in enumerate(STATES):
        folders.append(tmp_path / f"epoch{number}")
        (folders[-1] / "v0001").mkdir(parents=True)
        (folders[-1] / "v0001/findings.json").write_bytes(json_of(one))
    (tmp_path / "known.csv").write_bytes(csv_of(state(lesion(200, 0.9))))
    out = tmp_path / "mined.csv"
    words = [*folders, "--out", out, "--bookmarks", tmp_path / "known.csv"]
    assert main(list(map(str, words))) == 0
    assert "2 candidates, 1 of them taken for lesions" in capsys.readouterr().out
    read = read_bookmarks(out)
    assert not read.errors and read.notes == []
    assert len(read.records) == 1 and len(read.ignored) == 1
    assert out.read_text().splitlines()[1].startswith("v0001,LPS,95.0,")
    (folders[1] / "v0001").rename(folders[1] / "v0002")
    assert main(list(map(str, words))) == 2
    assert "the same scans" in capsys.readouterr().err


def write_state(folder, name, found):
    (folder / name).mkdir(parents=True)
    (folder / name / "findings.json").write_bytes(json_of(found))


def test_bookmarks_in_pixels_of_volumes_named_by_their_paths(tmp_path, capsys):
    # Stored with x to the right and 2 mm pixels: 200 mm are column -50.
    grid = dict(stored_spacing=(2.0, 1.0, 1.0), stored_origin=(100.0, 0.0, 0.0))
    flipped = replace(GEOMETRY, **grid, stored_direction=(-1, 0, 0, 0, 1, 0, 0, 0, 1))
    write_state(tmp_path / "f", "v0001", replace(STATES[0], geometry=flipped))
    (tmp_path / "ids.csv").write_text("volume_id,volume\nv0001,/in/scans/a/b.nii.gz\n")
    table = tmp_path / "known.csv"
    header = "volume,slice,long_x1,long_y1,long_x2,long_y2,short_x1,short_y1,short_x2,short_y2\n"
    cross = "0,-52.5,0,-47.5,0,-50,-3,-50,3\n"
    words = [tmp_path / "f", "--out", tmp_path / "m.csv", "--bookmarks", table]
    words = [*map(str, words), "--findings-ids", str(tmp_path / "ids.csv")]
    table.write_text(f"{header}a/b.nii.gz,{cross}z/b.nii.gz,{cross}")
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "1 of 2 bookmarks are of other scans" in said and "2 candidates" in said
    table.write_text(f"{header}z/b.nii.gz,{cross}")
    assert main(words) == 2 and "only those of others" in capsys.readouterr().err
    write_state(tmp_path / "f", "v0002", state())
    ids = "volume_id,volume\nv0001,/in/a/b.nii.gz\nv0002,/in/c/b.nii.gz\n"
    (tmp_path / "ids.csv").write_text(ids)
    table.write_text(f"{header}b.nii.gz,{cross}")
    assert main(words) == 2 and "known.csv, row 2: Expected one scan" in capsys.readouterr().err
