"""A detector of bright spots, the scan that it finds two in, and the DICOM results of that."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from scan_storages import DICOM, BrightSpots, spots, store

from data_prep.atomic_files import write_bytes
from data_prep.volumes.dicom.source import read_source_slices
from data_prep.volumes.volume import read_volume
from mmglan.inference.outputs import FORMATS, Result, make_files
from mmglan.inference.volume_detector import VolumeDetector

# Pixels of 0.8 x 1.1 mm, and squares, in which axes on axial stacks are drawn in another way.
SQUARE = [f"{storage}_square" for storage in ("axial", "flipped", "oblique", "enhanced")]


@dataclass(frozen=True)
class Written:
    """A scan in DICOM and its results.

    Attributes:
        scan: What to read.
        result: What was written.
        folder: Where.
    """

    scan: Path
    result: Result
    folder: Path


def bright_spots() -> VolumeDetector:
    return VolumeDetector.of(BrightSpots(), model={"name": "bright", "version": "1", "hash": "a"})


@pytest.fixture
def detector():
    return bright_spots()


@pytest.fixture
def scan_in(tmp_path):
    """Return a writer of the bright spots in a storage."""
    return lambda storage, **options: store(spots(**options), storage, tmp_path / "scans")


@pytest.fixture(scope="session")
def written_in(tmp_path_factory):
    """Return a writer of the results in a storage, which does so once for all tests."""

    @cache
    def write(name: str) -> Written:
        folder = tmp_path_factory.mktemp(name)
        storage = name.removesuffix("_square")
        image = spots(spacing=(0.8, 0.8 if name != storage else 1.1, 2.5))
        scan = store(image, storage, folder / "scans")
        volume = read_volume(scan)
        result = Result(*bright_spots().detect_in(volume), volume, read_source_slices(scan, volume))
        for file, content in make_files(result, FORMATS).items():
            write_bytes(folder / "out" / file, content)
        return Written(scan, result, folder / "out")

    return write


@pytest.fixture(params=[*DICOM, *SQUARE])
def written(written_in, request) -> Written:
    return written_in(request.param)


@pytest.fixture(scope="session")
def all_written(written_in) -> list[Written]:
    return [written_in(name) for name in (*DICOM, *SQUARE)]
