"""Result files: read in blocks, the same in any blocks, and written as they were read."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmglan.detections import coco_results
from mmglan.detections.coco_files import read_ground_truth
from mmglan.detections.coco_results import (
    Results,
    group_results,
    json_blocks,
    read_results,
    write_results,
)

GT = {
    "images": [{"id": 5, "height": 4, "width": 4}, {"id": 2, "height": 4, "width": 4}],
    "annotations": [],
    "categories": [{"id": 7, "name": "node"}, {"id": 3, "name": "cyst"}],
}


def rows_of(count):
    """Results whose texts and inner lists look like the end of a row."""
    return [
        {
            "image_id": (5, 2)[number % 2],
            "bbox": [number, 0.5, 2, 3],
            "score": number / count,
            "category_id": (7, 3)[number % 3 > 0],
            "note": '"}, {',
            "parts": [{"a": 1}, {"b": {"c": "}]"}}, {}],
        }
        for number in range(count)
    ]


@pytest.mark.parametrize("block", [40, 333, 1 << 24])
@pytest.mark.parametrize("indent", [None, 2])
def test_any_blocks_give_the_same(tmp_path, monkeypatch, block, indent):
    monkeypatch.setattr(coco_results, "_BLOCK", block)
    path, gt, rows = tmp_path / "r.json", read_ground_truth(GT), rows_of(40)
    path.write_text(json.dumps(rows, indent=indent))
    found = read_results(path, gt)
    assert found.image.tolist() == [0] * 20 + [1] * 20  # images by rising id: 2, 5
    assert found.boxes[:, 0].tolist() == [*range(1, 40, 2), *range(0, 40, 2)]
    assert found.category.tolist() == [rows[int(x)]["category_id"] for x in found.boxes[:, 0]]
    blocks = list(json_blocks(path))
    assert sum(map(len, blocks)) == 40 and (len(blocks) > 1) == (block < 1000)
    one = read_results(path, gt, images=[1])
    assert one.boxes.tolist() == found.boxes[20:].tolist()
    rows[33] |= {"score": None}
    path.write_text(json.dumps(rows, indent=indent))
    with pytest.raises(ValueError, match=r"r.json: result 33: Expected a finite score"):
        read_results(path, gt)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "list of results but got dict"),
        ("[1, 2", "Expected JSON but got"),
        ('[{"a": 1}, {"b"', "Expected JSON but got"),
        ("", "Expected JSON but got"),
        ('[{"image_id": 5, "bbox": [0, 0, 1, 1], "score": NaN}]', "result 0: .*finite score"),
        ('[{"image_id": 5, "bbox": [0, 0, 1, 1e999], "score": 1}]', "result 0: Expected bbox"),
        ('[{"image_id": 9, "bbox": [0, 0, 1, 1], "score": 1}]', "result 0: .*image_id 9"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, text, words):
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"r.json: .*{words}"):
        read_results(path, read_ground_truth(GT))


def test_written_results_are_those_that_were_read(tmp_path, monkeypatch):
    monkeypatch.setattr(coco_results, "_ROWS_AT_ONCE", 3)
    gt = read_ground_truth(GT)
    mask = {"size": [4, 4], "counts": [0, 16]}
    rows = [row | {"segmentation": mask} for row in rows_of(10)]
    for found in (group_results(rows, gt), group_results([], gt)):
        write_results(tmp_path / "r.json", found, gt)
        again = read_results(tmp_path / "r.json", gt)
        assert np.array_equal(again.boxes, found.boxes) and again.masks == found.masks
        assert np.array_equal(again.category, found.category)


def test_results_of_some_images():
    gt = read_ground_truth(GT)
    found = group_results(rows_of(4), gt).of_images([1])
    assert found.image.tolist() == [0, 0] and found.boxes[:, 0].tolist() == [0, 2]
    assert len(Results.of_parts([]).of_images([0])) == 0
