"""Which lesions of a volume are reported, and what is said of those that cannot be judged."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from pycocotools import mask as mask_utils
from scan_storages import BrightSpots

from data_prep.volumes.volume import read_volume
from mmglan.inference import soft_masks
from mmglan.inference.automatic_recist import measure_soft_mask
from mmglan.inference.volume_detector import FoundSlices, VolumeDetector


class WithoutMasks(BrightSpots):
    def detect(self, array):
        for z, found in super().detect(array):
            yield z, replace(found, masks=None)


@pytest.fixture
def volume(scan_in):
    return read_volume(scan_in("nifti"))


def test_lesions_with_a_shorter_short_axis_are_left_out(volume):
    both, _ = VolumeDetector.of(BrightSpots()).detect_in(volume)
    short = sorted(lesion.recist.short_axis_mm for lesion in both.lesions)
    assert len(short) == 2 and short[0] < short[1]
    detector = VolumeDetector.of(BrightSpots(), min_short_axis_mm=short[1])
    findings, labels = detector.detect_in(volume)
    (larger,) = findings.lesions
    assert larger.recist.short_axis_mm == short[1] and larger.number == 1 and labels.max() == 1
    assert not findings.warnings


def test_lesions_without_a_mask_stay_and_are_told(volume):
    findings, _ = VolumeDetector.of(WithoutMasks(), min_short_axis_mm=99).detect_in(volume)
    assert len(findings.lesions) == 2
    said = "Not measured, so kept whatever their short axis: 2 lesions."
    assert findings.warnings == (said,)
    assert not VolumeDetector.of(WithoutMasks()).detect_in(volume)[0].warnings


def test_masks_are_measured_beside_the_network_and_not_again(volume, monkeypatch):
    calls = []

    def counted(*given):
        calls.append(threading.current_thread())
        return measure_soft_mask(*given)

    monkeypatch.setattr(soft_masks, "measure_soft_mask", counted)
    detector = VolumeDetector.of(BrightSpots())
    found = detector.find(volume)
    masks = [mask for one in found.slices.values() for mask in one.masks]
    assert len(calls) == len(masks) > 0 and threading.main_thread() not in calls
    findings, labels = detector.link(volume, found)
    assert len(calls) == len(masks)
    late, late_labels = detector.link(volume, FoundSlices(dict(BrightSpots().detect(volume.array))))
    assert findings == late and (labels == late_labels).all() and labels.max() == 2


def test_the_label_map_holds_the_masks_of_the_findings(volume):
    findings, labels = VolumeDetector.of(BrightSpots()).detect_in(volume)
    drawn = np.zeros_like(labels)
    for lesion in findings.lesions:
        for part in lesion.slices:
            drawn[part.slice_index][mask_utils.decode(part.segmentation) > 0] = lesion.number
    np.testing.assert_array_equal(labels, drawn)
