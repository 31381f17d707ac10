"""Statuses of predictions and lesions, by hand."""

import json

import pytest

from mmglan.reporting.findings import load_results, load_truth, mark_findings


def _truth(boxes_by_image):
    images = [{"id": i, "file_name": f"{i}.png"} for i in boxes_by_image]
    annotations = [
        {"id": 10 * i + n, "image_id": i, "bbox": box, "iscrowd": 0}
        for i, boxes in boxes_by_image.items()
        for n, box in enumerate(boxes)
    ]
    return {"images": images, "annotations": annotations}


def _results(*rows):
    return [{"image_id": i, "bbox": box, "score": score} for i, box, score in rows]


def test_statuses_and_scores_at_which_lesions_are_found():
    truth = _truth({2: [[0, 0, 10, 10]], 1: [[0, 0, 10, 10], [50, 50, 10, 10]], 3: []})
    results = _results(
        (1, [0, 0, 10, 4], 0.9),  # IoU 0.4 with the first lesion
        (1, [0, 0, 10, 9], 0.8),  # IoU 0.9: again the first lesion, at 0.25; finds it at 0.5
        (2, [30, 30, 5, 5], 0.7),
        (3, [0, 0, 5, 5], 0.6),
    )
    one, two, three = mark_findings(truth, results)
    assert [f.image["id"] for f in (one, two, three)] == [1, 2, 3]
    assert [p.status for p in one.predictions] == [
        {0.25: "tp", 0.5: "fp"},
        {0.25: "dup", 0.5: "tp"},
    ]
    assert [round(p.overlap, 6) for p in one.predictions] == [0.4, 0.9]
    assert one.lesions[0].found_at == {0.25: 0.9, 0.5: 0.8}
    assert one.lesions[1].found_at == {0.25: None, 0.5: None}
    assert two.predictions[0].status == {0.25: "fp", 0.5: "fp"}
    assert two.predictions[0].overlap == 0
    assert three.lesions == [] and three.predictions[0].status[0.25] == "fp"


def test_duplicates_as_false_positives():
    truth = _truth({1: [[0, 0, 10, 10]]})
    results = _results((1, [0, 0, 10, 10], 0.9), (1, [0, 0, 10, 9], 0.8))
    (found,) = mark_findings(truth, results, thresholds=(0.5,), duplicates="fp")
    assert [p.status[0.5] for p in found.predictions] == ["tp", "fp"]


@pytest.mark.parametrize("boxes", [{}, {1: []}, {1: [[0, 0, 4, 4]]}])
def test_no_predictions(boxes):
    found = mark_findings(_truth(boxes), [])
    assert len(found) == len(boxes)
    assert all(t.found_at == {0.25: None, 0.5: None} for f in found for t in f.lesions)


def test_crowd_annotations_are_left_out():
    truth = _truth({1: [[0, 0, 10, 10]]})
    truth["annotations"][0]["iscrowd"] = 1
    assert mark_findings(truth, [])[0].lesions == []


def test_masks_join_their_boxes():
    truth = _truth({1: [[0, 0, 10, 10]]})
    boxes = _results((1, [0, 0, 10, 10], 0.9), (1, [0, 0, 5, 5], 0.2))
    masks = [{"image_id": 1, "score": s, "segmentation": t} for s, t in ((0.9, "a"), (0.2, "b"))]
    (found,) = mark_findings(truth, boxes, segmentations=masks)
    assert [p.segmentation for p in found.predictions] == ["a", "b"]
    (found,) = mark_findings(truth, boxes, segmentations=masks[:1])
    assert [p.segmentation for p in found.predictions] == [None, None]


def test_files_that_do_not_fit_are_named(tmp_path):
    results = tmp_path / "results.bbox.json"
    results.write_text(json.dumps(_results((7, [0, 0, 1, 1], 0.5))))
    with pytest.raises(ValueError, match=r"results.bbox.json, result 0: .* image_id 7"):
        load_results(results, _truth({1: []}))
    results.write_text('{"a": 1}')
    with pytest.raises(ValueError, match="Expected a list of results"):
        load_results(results, _truth({1: []}))
    results.write_text('[{"image_id": 1}]')
    with pytest.raises(ValueError, match="image_id, bbox and score"):
        load_results(results, _truth({1: []}))
    for bad in ({"score": None}, {"score": float("nan")}, {"bbox": [0, 0, 1]}, {"bbox": None}):
        results.write_text(json.dumps([_results((1, [0, 0, 1, 1], 0.5))[0] | bad]))
        with pytest.raises(ValueError, match=r"result 0: Expected a finite score and bbox"):
            load_results(results, _truth({1: []}))
    with pytest.raises(ValueError, match="COCO images and annotations"):
        load_truth(results)
    results.write_text("[1,")
    with pytest.raises(ValueError, match=r"results.bbox.json: Expected JSON"):
        load_truth(results)
    with pytest.raises(FileNotFoundError, match="nothing at"):
        load_truth(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": [{"id": 1}]}, r"images\[0\]: Expected the file_name of a picture"),
        (
            {"images": [{"id": 1, "file_name": "a", "spacing_mm": [0, 1]}]},
            r"images\[0\]: .*spacing",
        ),
        ({"annotations": [{"id": 1, "image_id": 777}]}, r"annotations\[0\]: .* image_id 777"),
        ({"annotations": [{"id": 1, "image_id": 1}]}, r"annotations\[0\]: Expected bbox"),
    ],
)
def test_truth_that_cannot_be_shown_is_named(tmp_path, change, words):
    path = tmp_path / "test.json"
    path.write_text(json.dumps(_truth({1: []}) | change))
    with pytest.raises(ValueError, match=rf"test.json: {words}"):
        load_truth(path)


def test_truth_that_the_metrics_take_is_shown(tmp_path):
    """Annotations without an id, and ids of images that are text."""
    truth = _truth({1: [[0, 0, 10, 10], [50, 50, 10, 10]]})
    truth["images"].append({"id": "a", "file_name": "a.png"})
    for annotation in truth["annotations"]:
        del annotation["id"]
    path = tmp_path / "test.json"
    path.write_text(json.dumps(truth))
    one, other = mark_findings(load_truth(path), _results(("a", [0, 0, 5, 5], 0.5)))
    assert [t.box for t in one.lesions] == [(0, 0, 10, 10), (50, 50, 10, 10)]
    assert [p.score for p in other.predictions] == [0.5]


def test_masks_alone_are_no_boxes(tmp_path):
    path = tmp_path / "results.bbox.json"
    path.write_text(json.dumps([{"image_id": 1, "score": 0.5, "segmentation": "a"}]))
    assert len(load_results(path, _truth({1: []}), masks=True)) == 1
    with pytest.raises(ValueError, match=r"results.bbox.json, result 0: Expected a finite score"):
        load_results(path, _truth({1: []}))
    path.write_text(json.dumps(_results(([1], [0, 0, 1, 1], 0.5))))
    with pytest.raises(ValueError, match=r"result 0: .* image_id \[1\]"):
        load_results(path, _truth({1: []}))
