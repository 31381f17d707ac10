"""Files that cannot be used: the message names the file and the row."""

from __future__ import annotations

import json

import pytest

from mmglan.detections.coco_files import read_ground_truth
from mmglan.detections.coco_results import NO_CATEGORY, group_results

LESION = {"id": 1, "image_id": 1, "bbox": [0, 0, 9, 9]}


def read(tmp_path, images=({"id": 1},), annotations=(LESION,)):
    path = tmp_path / "ann.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return read_ground_truth(path)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (None, "lists of images"),
        ([3], r"images\[0\]: .* got 3"),
        ([{"id": 1}, {"file_name": "a"}], r"images\[1\]: .* id but got None"),
        ([{"id": True}], r"images\[0\]: .* id but got True"),
        ([{"id": 1}, {"id": 1}], "some repeat"),
        ([{"id": 1, "spacing_mm": 0.8}], r"images\[0\]: Expected spacing_mm .* got 0.8"),
        ([{"id": 1, "spacing_mm": [0.8, 0]}], r"images\[0\]: Expected spacing_mm"),
        ([{"id": 1, "spacing_mm": [0.8, None, 3]}], r"images\[0\]: Expected spacing_mm"),
    ],
)
def test_images(tmp_path, images, words):
    with pytest.raises(ValueError, match=rf"ann.json: .*{words}"):
        read(tmp_path, images)


@pytest.mark.parametrize(
    ("box", "fits"),
    [
        ([50, 20, 60, 28], False),  # corners
        ([4, 20, 61, 30], False),
        ([2, 3, 62.5, 9], True),  # half a pixel over the border
        ([50, 20, 20, 9], True),  # over the border, and no corners
        ([2, 3, 60, 40], True),
    ],
)
def test_boxes_given_as_corners(tmp_path, box, fits):
    image = {"id": 1, "width": 64, "height": 48}
    change = LESION | {"bbox": box}
    if fits:
        assert len(read(tmp_path, [image], [change]).lesions[0]) == 1
        return
    with pytest.raises(ValueError, match=r"annotations\[0\]: .*64 x 48 pixels .* x1, y1, x2, y2"):
        read(tmp_path, [image], [change])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image_id": [1]}, r"got image_id \[1\]"),
        ({"image_id": "1"}, "got image_id '1'"),
        ({"bbox": ["1", "2", "3", "4"]}, "Expected bbox"),
        ({"bbox": [1, 2, -3, 4]}, "Expected bbox"),
        ({"bbox": [1, 2, 0, 4]}, "at least 1 x 1 pixels"),
        ({"bbox": [1, 2, 3, 0.5]}, "at least 1 x 1 pixels"),
        ({"area": 0}, "at least 1 x 1 pixels"),
        ({"short_axis_mm": "x"}, "Expected short_axis_mm as a number but got 'x'"),
        ({"short_axis_mm": [3]}, "Expected short_axis_mm"),
        ({"recist": [1, 2, 3]}, r"Expected recist as the eight .* got \[1, 2, 3\]"),
        ({"recist": list("abcdefgh")}, "Expected recist"),
        ({"recist": [1, 2, 3, 4, 5, 6, 7, None]}, "Expected recist"),
        ({"iscrowd": "0"}, "Expected iscrowd 0 or 1 but got '0'"),
        ({"ignore": [1]}, "Expected ignore 0 or 1"),
        ({"id": [2]}, r"Expected a number or text as id but got \[2\]"),
        ({"bbox": [1, 2, 3, 4], "area": "9"}, "at least 1 x 1 pixels .* area '9'"),
        ({}, "Expected distinct annotation ids but got 1 again"),
    ],
)
def test_annotations(tmp_path, change, words):
    with pytest.raises(ValueError, match=rf"ann.json: annotations\[1\]: .*{words}"):
        read(tmp_path, annotations=[LESION, LESION | change])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image_id": [1]}, r"image_id \[1\]"),
        ({"image_id": True}, "image_id True"),
        ({"score": "0.5"}, "finite score but got '0.5'"),
        ({"score": float("nan")}, "finite score but got nan"),
        ({"score": None}, "finite score but got None"),
        ({"bbox": ["1", "2", "3", "4"]}, "Expected bbox"),
        ({"bbox": [[1, 2, 3, 4]]}, "Expected bbox"),
    ],
)
def test_results(tmp_path, change, words):
    gt = read(tmp_path)
    row = {"image_id": 1, "bbox": [0, 0, 9, 9], "score": 0.5}
    found = group_results([row], gt)
    assert (found.image.tolist(), found.boxes.tolist()) == ([0], [[0, 0, 9, 9]])
    assert found.scores.tolist() == [0.5] and found.masks is None
    with pytest.raises(ValueError, match=rf"my.json: result 1: .*{words}"):
        group_results([row, row | change], gt, "my.json")
    with pytest.raises(ValueError, match=r"my.json: result 0: .* got 'x'"):
        group_results(["x"], gt, "my.json")


def test_boxes_without_area_match_nothing(coco_set):
    """Defined, not an error: a flat prediction is a false positive, a flat lesion is missed."""
    from mmglan.evaluation.detection_sets.detection_set_2d import detection_set_of_images

    ann, boxes, _ = coco_set(0)
    gt = read_ground_truth(ann)
    rows = json.loads(boxes.read_text())
    flat = [row | {"bbox": [*row["bbox"][:2], 0, 5]} for row in rows]
    assert not len(
        detection_set_of_images(gt, group_results(flat, gt), "bbox").overlaps["iou"].pred
    )


def test_images_of_an_unknown_patient_are_a_patient_each(tmp_path):
    """Empty values are no patient: taken as one they would make the intervals too wide."""
    known = {"id": 4, "patient_id": "p"}
    gt = read(
        tmp_path, [{"id": 1, "patient_id": None}, {"id": 2, "patient_id": ""}, {"id": 3}, known], ()
    )
    assert gt.patients == ["image 1", "image 2", "image 3", "p"]
    assert not gt.has_patients
    assert read(tmp_path, [known], ()).has_patients


def test_ids_may_be_text(tmp_path):
    gt = read(tmp_path, [{"id": "b"}, {"id": "a"}], [LESION | {"image_id": "b"}])
    assert [len(rows) for rows in gt.lesions] == [0, 1]


def test_categories_are_those_of_the_ground_truth():
    box = {"image_id": 1, "bbox": [0, 0, 5, 5]}
    content = {"images": [{"id": 1}], "categories": [{"id": 7, "name": "node"}]}
    with pytest.raises(ValueError, match=r"annotations\[0\]: .* gt, 7 \(node\), but got 1"):
        read_ground_truth(content | {"annotations": [box | {"category_id": 1}]})
    gt = read_ground_truth(content | {"annotations": [box | {"category_id": 7}]})
    assert gt.categories == {7: "node"}
    assert gt.of_categories([7]).lesions == gt.lesions and gt.of_categories([8]).lesions == [[]]
    rows = [box | {"score": 1.0, "category_id": 7}, box | {"score": 1.0}]
    assert group_results(rows, gt).category.tolist() == [7, NO_CATEGORY]
    with pytest.raises(ValueError, match=r"r.json: result 1: .* 7 \(node\), but got 2"):
        group_results([rows[0], rows[0] | {"category_id": 2}], gt, "r.json")


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (7, "list of categories but got 7"),
        ([{"id": 1}], r"categories\[0\]: .*a name but got"),
        ([{"id": True, "name": "a"}], r"categories\[0\]: .*whole number as id"),
        ([{"id": 1, "name": "a"}, {"id": 2, "name": "a"}], r"categories\[1\]: .*2 \(a\) again"),
        ([{"id": 1, "name": "a"}, {"id": 1, "name": "b"}], r"categories\[1\]: .*1 \(b\) again"),
    ],
)
def test_categories_that_cannot_be_used(entries, words):
    with pytest.raises(ValueError, match=f"gt: .*{words}"):
        read_ground_truth({"images": [], "annotations": [], "categories": entries})
