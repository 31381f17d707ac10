"""Lesions followed by detections: hand-made volumes whose answer is known."""

import numpy as np
import pytest

from mmglan.detections.coco_files import read_content, read_ground_truth
from mmglan.detections.coco_results import group_results
from mmglan.detections.followed_lesions import FollowRules, followed_set

BOX = [10.0, 10.0, 10.0, 10.0]


def image(z, volume="v1", **more):
    number = 1 + z + (100 if volume != "v1" else 0)
    return (
        dict(
            id=number,
            file_name=f"{number}.png",
            width=40,
            height=40,
            volume_id=volume,
            slice_index=z,
        )
        | more
    )


def coco(images, annotations=()):
    annotations = [
        dict(id=k, category_id=1, iscrowd=0, area=100) | one
        for k, one in enumerate(annotations, start=1)
    ]
    return dict(
        images=list(images), annotations=annotations, categories=[dict(id=1, name="lesion")]
    )


def found(z, box=None, score=0.9, volume="v1"):
    return dict(image_id=image(z, volume)["id"], bbox=box or BOX, score=score, category_id=1)


def follow(rows, marked=None, depth=12, more=(), **rules):
    marked = marked or coco([image(5)], [dict(image_id=6, bbox=BOX)])
    slices = read_ground_truth(coco([*map(image, range(depth)), *more]))
    rules = {"empty": 0, **rules}
    content = read_content(marked)[1]
    return followed_set(content, slices, group_results(rows, slices), FollowRules(**rules))


def slices_of(content):
    return sorted(one["slice_index"] for one in content["images"])


def followed(content):
    numbers = {one["id"]: one["slice_index"] for one in content["images"]}
    return sorted(
        numbers[one["image_id"]]
        for one in content["annotations"]
        if one.get("mask_source") == "followed"
    )


def test_is_followed_to_both_sides_until_a_gap():
    content = follow([found(z) for z in (2, 3, 4, 6, 7, 9)])
    assert followed(content) == [2, 3, 4, 6, 7]
    assert slices_of(content) == [2, 3, 4, 5, 6, 7]
    assert len({one["id"] for one in content["annotations"]}) == 6


def test_each_slice_is_compared_with_the_one_before():
    drifting = [found(5 + k, [10.0 + 3 * k, 10, 10, 10]) for k in range(1, 5)]
    assert followed(follow(drifting)) == [6, 7, 8, 9]  # IoU 7 / 13 from slice to slice
    assert followed(follow(drifting, min_iou=0.6)) == []
    assert followed(follow(drifting[1:])) == []


@pytest.mark.parametrize(
    ("row", "rules"),
    [
        (found(6, score=0.49), {}),
        (found(6, score=0.5), {"min_score": 0.51}),
        (found(6, [15.0, 10, 10, 10]), {}),
        (found(6) | {"bbox": [30.0, 30, 5, 5]}, {}),
    ],
)
def test_what_does_not_continue_a_lesion(row, rules):
    assert followed(follow([row], **rules)) == []


def test_limits_count():
    assert followed(follow([found(6, score=0.5)])) == [6]
    half = [10.0, 10.0, 10.0, 5.0]
    assert followed(follow([found(6, half)])) == [6]


def test_the_best_of_several_detections_continues():
    near, far = found(6, [11.0, 10, 10, 10], 0.6), found(6, [10.0, 10, 10, 10], 0.9)
    content = follow([near, far])
    assert [one["bbox"] for one in content["annotations"]] == [BOX, BOX]
    assert content["annotations"][1]["score"] == 0.9


def test_other_classes_do_not_continue():
    marked = coco([image(5)], [dict(image_id=6, bbox=BOX, category_id=2)])
    marked["categories"].append(dict(id=2, name="cyst"))
    slices = coco(map(image, range(12)))
    slices["categories"].append(dict(id=2, name="cyst"))
    slices = read_ground_truth(slices)
    for category, expected in ((1, []), (2, [6])):
        rows = [found(6) | {"category_id": category}]
        content = followed_set(marked, slices, group_results(rows, slices), FollowRules(empty=0))
        assert followed(content) == expected


def test_a_bookmarked_slice_ends_a_lesion_and_stays_as_it_is():
    marked = coco([image(5), image(7)], [dict(image_id=6, bbox=BOX), dict(image_id=8, bbox=BOX)])
    content = follow([found(z) for z in (6, 7, 8, 9)], marked)
    assert followed(content) == [6, 8, 9]


def test_a_detection_that_continues_two_bookmarks_is_one_lesion():
    second = [12.0, 10.0, 10.0, 10.0]
    marked = coco([image(5)], [dict(image_id=6, bbox=BOX), dict(image_id=6, bbox=second)])
    assert followed(follow([found(6)], marked)) == [6]


def test_empty_slices_are_far_away_and_the_hardest_first():
    rows = [found(6), found(0, [30.0, 30, 5, 5], 0.8), found(11, [30.0, 30, 5, 5], 0.4)]
    # 5 and 6 hold the lesion; 2 to 4 and 7 to 9 may hold it.
    assert slices_of(follow(rows, empty=2)) == [0, 5, 6, 11]
    assert slices_of(follow(rows, empty=1)) == [0, 5, 6]
    assert slices_of(follow(rows, empty=9)) == [0, 1, 5, 6, 10, 11]
    assert slices_of(follow(rows, empty=10, margin=0)) == list(range(12))


def test_volumes_whose_lesions_are_not_all_known_give_no_empty_slices():
    other = [image(z, "v2") for z in range(3)]
    assert len(follow([], more=other, empty=9)["images"]) == 1 + 5 + 3
    other[1]["incomplete"] = True
    assert len(follow([], more=other, empty=9)["images"]) == 1 + 5
    region = [dict(image_id=6, bbox=BOX), dict(image_id=6, bbox=[0.0, 0, 5, 5], iscrowd=1)]
    assert slices_of(follow([], coco([image(5)], region), empty=9)) == [5]


@pytest.mark.parametrize("flag", [dict(iscrowd=1), dict(ignore=1)])
def test_regions_to_ignore_stay_and_are_not_followed(flag):
    region = dict(image_id=6, bbox=BOX) | flag
    content = follow([found(6)], coco([image(5)], [region]), empty=9)
    assert len(content["annotations"]) == 1 and slices_of(content) == [5]


def test_a_mask_gives_box_and_area():
    mask = np.zeros((40, 40), np.uint8)
    mask[11:19, 12:20] = 1
    from pycocotools import mask as mask_utils

    code = mask_utils.encode(np.asfortranarray(mask))
    code["counts"] = code["counts"].decode()
    one = follow([found(6) | {"segmentation": code}])["annotations"][-1]
    assert one["bbox"] == [12, 11, 8, 8] and one["area"] == 64 and one["segmentation"] == code


def test_a_detection_without_a_pixel_ends_a_lesion():
    nothing = dict(size=[40, 40], counts=[1600])
    rows = [found(6) | {"segmentation": nothing}, found(7) | {"segmentation": nothing}]
    assert followed(follow(rows)) == []
    assert followed(follow([found(6, [10.0, 10, 0.9, 10])], min_iou=0.01)) == []


def test_names_as_ids_stay_and_new_ones_are_numbers():
    marked = coco([image(5)], [dict(image_id=6, bbox=BOX, id="a")])
    assert [one["id"] for one in follow([found(6)], marked)["annotations"]] == ["a", 1]


def test_marked_slices_keep_their_records():
    marked = coco([image(5, neighbours=["a.png"])], [dict(image_id=6, bbox=BOX)])
    content = follow([found(6)], marked)
    assert content["images"][0]["neighbours"] == ["a.png"]
    assert content["categories"] == marked["categories"]


def test_files_of_different_runs_are_refused():
    marked = coco([image(5) | {"id": 3}], [dict(image_id=3, bbox=BOX)])
    with pytest.raises(ValueError, match=r"image 3: Expected the same slice .* slice 2 of v1"):
        follow([], marked)
    nameless = coco([{k: v for k, v in image(5).items() if k != "volume_id"}])
    with pytest.raises(ValueError, match="image 6: Expected volume_id and slice_index"):
        follow([], nameless)


@pytest.mark.parametrize(
    "rules", [dict(min_score=1.1), dict(min_iou=0.0), dict(margin=-1), dict(empty=-1)]
)
def test_rules_out_of_range_are_refused(rules):
    with pytest.raises(ValueError, match="Expected"):
        FollowRules(**rules)
