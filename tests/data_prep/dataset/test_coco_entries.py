"""COCO entries: boxes, masks, axes, neighbours and 3D lesions, by hand-computed values."""

import numpy as np
import pytest

from data_prep.bookmarks.recist import Bookmark
from data_prep.dataset import coco_entries
from data_prep.dataset.one_volume.volume_result import Lesion3D


def test_mask_fields_of_a_hand_drawn_mask():
    mask = np.zeros((6, 8), bool)
    mask[2:4, 3:6] = True
    fields = coco_entries.mask_fields(mask)
    assert fields["bbox"] == [3.0, 2.0, 3.0, 2.0]
    assert fields["area"] == 6
    assert fields["segmentation"]["size"] == [6, 8]
    assert np.array_equal(coco_entries.decode(fields["segmentation"]), mask)


def test_bookmark_fields_are_in_pixels_and_mm():
    bookmark = Bookmark([(2, 5), (8, 5)], [(5, 3), (5, 7)])
    fields = coco_entries.bookmark_fields(bookmark, (0.5, 2.0))
    assert fields == {
        "recist": [2.0, 5.0, 8.0, 5.0, 5.0, 3.0, 5.0, 7.0],
        "long_axis_mm": 3.0,
        "short_axis_mm": 8.0,
    }


def test_without_mask_gives_the_recist_box_in_whole_pixels():
    lesion = {"id": 4, "image_id": 2, "mask_source": "ellipse", "bbox": [0] * 4}
    lesion["segmentation"] = {"size": [9, 12], "counts": ""}
    lesion["recist"] = [2.0, 5.0, 8.0, 5.0, 5.0, 3.0, 5.0, 7.0]
    plain = coco_entries.without_mask(lesion)
    # Pixels 2…8 and 3…7, each one wide.
    assert plain["bbox"] == [2.0, 3.0, 7.0, 5.0]
    assert plain["area"] == 35.0
    assert plain["id"] == 4
    assert "segmentation" not in plain and "mask_source" not in plain


@pytest.mark.parametrize(
    ("points", "box"),
    [
        # From half a pixel before the first centres, or half a pixel after the last ones.
        ([-0.5, 5, 8, 5, 5, -0.25, 5, 7], [0.0, 0.0, 9.0, 8.0]),
        ([2, 5, 11.5, 5, 5, 3, 5, 8.25], [2.0, 3.0, 10.0, 6.0]),
        ([-0.5, 5, 11.5, 5, 5, 3.1, 5, 7.3], [0.0, 3.1, 12.0, 7.3 - 3.1 + 1]),
    ],
)
def test_the_recist_box_stays_in_the_image(points, box):
    lesion = {"recist": points, "segmentation": {"size": [9, 12], "counts": ""}}
    plain = coco_entries.without_mask(lesion)
    assert plain["bbox"] == box
    assert plain["area"] == box[2] * box[3]


def test_neighbours_are_replicated_at_the_ends():
    assert coco_entries.neighbour_names("v0001", 0, 2, 4) == [
        "v0001/v0001_0000.png",
        "v0001/v0001_0000.png",
        "v0001/v0001_0001.png",
        "v0001/v0001_0002.png",
    ]
    assert coco_entries.neighbour_names("v0001", 3, 1, 4) == [
        "v0001/v0001_0002.png",
        "v0001/v0001_0003.png",
    ]
    assert coco_entries.neighbour_names("v0001", 3, 0, 4) == []


def test_lesions_3d_are_inclusive_boxes_with_axes_of_the_longest_slice():
    labels = np.zeros((5, 8, 9), np.uint16)
    labels[1, 2, 3:5] = 7
    labels[2, 2:5, 3:8] = 7  # 5 × 3 pixels: from centre to centre 4 × 2
    labels[4, 0, 0] = 300
    first, second = coco_entries.lesions_3d(labels, (2.0, 2.0, 5.0))
    assert (first.label, first.box3d, first.key_slice) == (7, [3, 2, 1, 7, 4, 2], 2)
    # The longest diameter of a 4 × 2 rectangle is its diagonal.
    assert first.long_axis_mm == round(2 * np.hypot(4, 2), 4)
    assert second == Lesion3D(
        label=300, box3d=[0, 0, 4, 0, 0, 4], key_slice=4, long_axis_mm=0.0, short_axis_mm=0.0
    )


def test_lesions_3d_of_no_lesion_and_of_a_volume_without_background():
    assert coco_entries.lesions_3d(np.zeros((2, 3, 3), np.uint16), (1, 1, 1)) == []
    (only,) = coco_entries.lesions_3d(np.full((2, 3, 3), 5, np.uint16), (1, 1, 1))
    assert only.label == 5 and only.box3d == [0, 0, 0, 2, 2, 1]
