"""Fused detections against the published implementation, and mirrored views by hand."""

import numpy as np
import pytest
from scan_storages import BrightSpots, spots, store

from mmglan.inference.fusion import FusedSlices, MirroredSlices, fuse
from mmglan.inference.linking import Detections2D
from mmglan.inference.soft_masks import SoftMask
from mmglan.inference.volume_detector import VolumeDetector


def detections(random, count):
    corner = random.uniform(0, 60, (count, 2))
    boxes = np.column_stack([corner, corner + random.uniform(10, 40, (count, 2))])
    return Detections2D(boxes, random.uniform(0.1, 1, count), random.integers(0, 2, count))


@pytest.mark.parametrize("members", [1, 2, 3])
def test_fusion_equals_the_published_implementation(members):
    wbf = pytest.importorskip("ensemble_boxes").weighted_boxes_fusion
    random = np.random.default_rng(members)
    for _ in range(20):
        found = [detections(random, 12) for _ in range(members)]
        columns = ([one.boxes / 100 for one in found], [one.scores for one in found])
        boxes, scores, labels = wbf(*columns, [one.labels for one in found], iou_thr=0.55)
        ours = fuse(found, 0.55)
        order = np.argsort(-scores, kind="stable")
        assert ours.scores == pytest.approx(scores[order], abs=1e-5)
        assert ours.labels.tolist() == labels[order].tolist()
        assert np.abs(ours.boxes - 100 * boxes[order]).max() < 1e-3


def test_masks_are_averaged_by_score():
    masks = []
    for row in (0, 1):
        mask = np.zeros((6, 8), np.uint8)
        mask[row : row + 3, 2:5] = 200
        masks.append(SoftMask.of(mask))
    found = [
        Detections2D(np.array([[2.0, row, 5, row + 3]]), np.array([score]), np.array([0]), [mask])
        for row, score, mask in zip((0, 1), (0.9, 0.3), masks, strict=True)
    ]
    fused = fuse(found, 0.4)
    assert fused.scores == pytest.approx([0.6])
    assert fused.masks[0].whole()[:, 3].tolist() == [150, 200, 200, 50, 0, 0]


class LeftHalf(BrightSpots):
    """Sees nothing in the right half of a slice."""

    def detect(self, array):
        array = array.copy()
        array[:, :, array.shape[2] // 2 :] = 0
        return super().detect(array)


def test_mirrored_slices_are_mirrored_back(tmp_path):
    path = store(spots(), "nifti", tmp_path)
    plain = VolumeDetector.of(BrightSpots()).detect(path)
    mirrored = VolumeDetector.of(MirroredSlices(BrightSpots())).detect(path)
    assert len(plain.lesions) == 2
    for one, other in zip(plain.lesions, mirrored.lesions, strict=True):
        assert (one.score, one.box3d, one.volume_ml) == (other.score, other.box3d, other.volume_ml)
        assert one.centre_lps == pytest.approx(other.centre_lps)
    halves = FusedSlices([LeftHalf(), MirroredSlices(LeftHalf())])
    both = VolumeDetector.of(halves).detect(path)
    assert [lesion.box3d for lesion in both.lesions] == [lesion.box3d for lesion in plain.lesions]
    # Each was seen in one of two views.
    assert [lesion.score for lesion in both.lesions] == pytest.approx(
        [lesion.score / 2 for lesion in plain.lesions], abs=1e-6
    )


def test_other_classes_are_refused():
    with pytest.raises(ValueError, match="same classes but got lesion and node"):
        FusedSlices([BrightSpots(), BrightSpots(classes=("node",))])
