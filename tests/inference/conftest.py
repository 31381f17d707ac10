"""A detector of bright spots and the scan that it finds two in."""

import pytest
from scan_storages import BrightSpots, spots, store

from mmglan.inference.volume_detector import VolumeDetector


@pytest.fixture
def detector():
    return VolumeDetector.of(BrightSpots(), model={"name": "bright", "version": "1", "hash": "a"})


@pytest.fixture
def scan_in(tmp_path):
    """Return a writer of the bright spots in a storage."""
    return lambda storage, **options: store(spots(**options), storage, tmp_path / "scans")
