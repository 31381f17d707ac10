"""Which lesions of a volume are reported, and what is said of those that cannot be judged."""

from dataclasses import replace

import pytest
from scan_storages import BrightSpots

from data_prep.volumes.volume import read_volume
from mmglan.inference.volume_detector import VolumeDetector


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
