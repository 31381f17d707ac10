"""The result of a volume and its JSON form."""

import json
from dataclasses import fields

import pytest
from volume_results import result

from data_prep.dataset.one_volume.volume_result import Lesion3D, SliceLesion, VolumeResult


def full():
    made = result(3, "p", [5.0, 8.5], "pelvis")
    made.gt_lesions = [
        SliceLesion(1, [1, 2, 3, 4], 9, {"size": [4, 5]}, [0.5] * 8, 3.0, 2.0, "truth", lesion=7)
    ]
    made.gt_lesions_3d = [Lesion3D(7, [1, 2, 0, 3, 5, 1], 1, 3.0, 2.0)]
    made.key, made.errors, made.notes = "k", ["e"], ["n"]
    return made


@pytest.mark.parametrize("made", [full(), result(1, "p"), VolumeResult("v0001", "p")])
def test_json_and_back(made):
    text = made.to_json()
    assert VolumeResult.from_json(text) == made
    assert set(json.loads(text)) == {field.name for field in fields(VolumeResult)}
    assert VolumeResult.from_json(text).to_json() == text


def test_what_is_no_result_is_a_value_error():
    text = json.loads(full().to_json())
    wrong = [b"{cut o", b"[]", b"{}", json.dumps(text | {"more": 1}).encode()]
    wrong.append(json.dumps(text | {"slices": [{"z": 1}]}).encode())
    wrong.append(json.dumps({k: v for k, v in text.items() if k != "gt_lesions"}).encode())
    for content in wrong:
        with pytest.raises(ValueError, match=r"Expect"):
            VolumeResult.from_json(content)


def test_a_volume_that_is_left_out_keeps_what_is_known_of_its_file():
    made = full()
    made.leave_out("broken")
    assert made.errors == ["e", "broken"] and made.stored_size == [5, 4, 2] and not made.has_gt
    assert (made.slices, made.lesions, made.gt_lesions_3d) == ([], [], [])


def test_unknown_fields_are_no_annotation():
    gt = full().gt_lesions[0].annotation()
    assert gt["lesion"] == 7 and "site" not in gt and "slice_index" not in gt
    marked = full().lesions[0].annotation()
    assert marked["site"] == "pelvis" and "lesion" not in marked
