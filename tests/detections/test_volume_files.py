"""Files of 3D ground truth, boxes and scores that cannot be used, or only with a warning."""

from __future__ import annotations

import json
import warnings

import pytest

from mmglan.detections.coco_files import read_ground_truth
from mmglan.detections.coco_results import Results
from mmglan.detections.volume_files import read_boxes_3d, read_volumes, stack_results
from mmglan.evaluation.detection_sets.label_maps import read_ids, read_scores
from mmglan.evaluation.detection_sets.load_results import load_detection_sets, read_test_set
from mmglan.evaluation.protocols import PROTOCOLS


def test_3d_files_that_cannot_be_used(tmp_path):
    path = tmp_path / "volumes.json"
    lesion = {"volume_id": "v", "box3d": [0, 0, 0, 1, 1, 1]}

    def gt(volumes=({"volume_id": "v"},), lesions=(lesion,)):
        path.write_text(json.dumps({"volumes": volumes, "lesions": lesions}))
        return read_volumes(path)

    for options, words in (
        ({"volumes": None}, "Expected a file with lists"),
        ({"volumes": [{"id": 1}]}, r"volumes\[0\]: Expected a volume_id"),
        (
            {"volumes": [{"volume_id": "v", "spacing_mm": [1, 1]}]},
            r"volumes\[0\]: .* x, y, z, each",
        ),
        ({"volumes": [{"volume_id": "v", "spacing_mm": [1, 1, -3]}]}, r"volumes\[0\]: .* -3"),
        ({"volumes": [{"volume_id": "v", "shape_zyx": 7}]}, r"volumes\[0\]: .* shape_zyx .* 7"),
        ({"lesions": [lesion | {"short_axis_mm": "x"}]}, r"lesions\[0\]: Expected short_axis_mm"),
        ({"volumes": [{"volume_id": "v"}, {"volume_id": "v"}]}, "Expected distinct volume ids"),
        ({"lesions": [lesion, {"volume_id": "w"}]}, r"lesions\[1\]: .* got w"),
        ({"lesions": [lesion, {"volume_id": "v"}]}, r"lesions\[1\]: Expected box3d .* None"),
        ({"lesions": [lesion | {"box3d": [0, 0, 5, 1, 1, 1]}]}, r"lesions\[0\]: Expected box3d"),
    ):
        with pytest.raises(ValueError, match=rf"volumes.json: {words}"):
            gt(**options)
    row = lesion | {"score": 0.5}
    (boxes,) = read_boxes_3d([row, row], gt(), "b.json")
    assert boxes.tolist() == [[0, 0, 0, 2, 2, 2, 0.5]] * 2
    for bad, words in (
        (3, "Expected a volume of volumes.json but got 3"),
        (lesion, "Expected a finite score but got None"),
        (row | {"score": float("nan")}, "Expected a finite score but got nan"),
        (row | {"box3d": [0] * 13}, "Expected box3d"),
        (row | {"box3d": [0, 0, 0, 1, 1]}, "Expected box3d"),
    ):
        with pytest.raises(ValueError, match=rf"b.json: result 1: {words}"):
            read_boxes_3d([row, bad], gt(), "b.json")


def test_a_slice_that_is_there_twice(tmp_path):
    images = [{"id": i, "volume_id": "v", "slice_index": 4} for i in (1, 2)]
    path = tmp_path / "ann.json"
    path.write_text(json.dumps({"images": images, "annotations": []}))
    with pytest.raises(ValueError, match=r"ann.json: image 2: .* slice 4 of volume v"):
        stack_results(read_ground_truth(path), Results.of_parts([]), ["v"])


def test_volumes_of_an_unknown_patient_are_a_patient_each(tmp_path):
    path = tmp_path / "volumes.json"
    volumes = [{"volume_id": name, "patient_id": None} for name in "ab"]
    path.write_text(json.dumps({"volumes": volumes, "lesions": []}))
    assert read_volumes(path).patient.tolist() == [0, 1]


@pytest.mark.parametrize(
    "change", [{"slice_index": None}, {"slice_index": "x"}, {"volume_id": None}]
)
def test_a_slice_without_a_place(tmp_path, change):
    path = tmp_path / "ann.json"
    image = {"id": 1, "volume_id": "v", "slice_index": 4} | change
    path.write_text(json.dumps({"images": [image], "annotations": []}))
    with pytest.raises(ValueError, match=r"ann.json: image 1: .* slice_index .* got (v|None) and"):
        stack_results(read_ground_truth(path), Results.of_parts([]), ["v"])


def test_volumes_that_are_tested_in_part_are_told(tmp_path, coco_set):
    ann, boxes, _ = coco_set(0)
    names = sorted({image["volume_id"] for image in json.loads(ann.read_text())["images"]})
    path = tmp_path / "volumes.json"
    for size in (3, 7):
        volumes = [{"volume_id": name, "shape_zyx": [3, 96, 96]} for name in names]
        volumes[0]["shape_zyx"][0] = size
        path.write_text(json.dumps({"volumes": volumes, "lesions": []}))
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            load_detection_sets(read_test_set(ann, volumes=path), [boxes], PROTOCOLS["deeplesion"])
        told = [str(one.message) for one in told]
        assert len(told) == (size == 7)
    assert "1 of 8 volumes are there in part only (3 of their 7 slices)" in told[0]


def test_scores_of_label_maps(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("volume_id,label,score\na,1,0.5\na,2,nan\n")
    with pytest.raises(ValueError, match=r"scores.csv, row 3: Expected .* finite score .* 'nan'"):
        read_scores(path)
    path.write_text("volume_id,label,score\na,1,0.5\nb,1,0.4\na,1,0.3\n")
    with pytest.raises(ValueError, match=r"scores.csv, row 4: .* label 1 of volume a .* again"):
        read_scores(path)


def test_tables_saved_by_a_spreadsheet(tmp_path):
    """Excel puts a byte order mark before the first column's name."""
    path = tmp_path / "scores.csv"
    path.write_text("volume_id,label,score\na,1,0.5\n", encoding="utf-8-sig")
    assert read_scores(path) == {"a": {1: 0.5}}
    path.write_text("volume_id,label,score\né,1,0.5\n", encoding="latin-1")
    with pytest.raises(ValueError, match=r"scores.csv: Expected UTF-8 .* byte 22\); save it as"):
        read_scores(path)
    path.write_text("volume_id,volume\nv1,scan 7.nii.gz\n", encoding="utf-8-sig")
    assert read_ids(path) == {"v1": "scan 7.nii.gz"}
