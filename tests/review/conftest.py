"""A scan with findings, its study page, and what the page's tests need of the browser."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from labelled_findings import findings_of
from scan_storages import LEVEL, spots
from scipy import ndimage

from data_prep.volumes.volume import Volume, read_labels, read_volume
from mmglan.detections.findings import Findings
from mmglan.review.study_page import build_page


@dataclass(frozen=True, eq=False)
class Study:
    """A scan, what was found in it, and its page."""

    volume: Volume
    findings: Findings
    page: Path


def real_study(folder: Path) -> tuple[Volume, np.ndarray]:
    """A real abdominal MR volume; gallbladder, spinal cord, aorta and vena cava are the lesions."""
    volume = read_volume(folder / "image.nii.gz")
    labels = read_labels(folder / "labels.nii.gz", volume).array
    return volume, np.where(np.isin(labels, (4, 21, 23, 24)), labels, 0)


def made_study(folder: Path) -> tuple[Volume, np.ndarray]:
    """A small scan with two bright spots."""
    sitk.WriteImage(spots(), str(folder / "scan.nii.gz"))
    volume = read_volume(folder / "scan.nii.gz")
    return volume, ndimage.label(volume.array > LEVEL)[0]


@pytest.fixture(scope="session")
def study(tmp_path_factory, repository) -> Study:
    """A real study where there is real data, else one of two bright spots.

    MMGLAN_STUDY=SCAN:FOLDER names a scan and what `mmglan infer` wrote of it instead: with two
    findings at least that have axes, the tests of the page hold for any.
    """
    if named := os.environ.get("MMGLAN_STUDY"):
        scan, _, written = named.partition(":")
        findings = Findings.from_json(json.loads((Path(written) / "findings.json").read_bytes()))
        return Study(read_volume(scan), findings, Path(written) / "findings.html")
    folder = tmp_path_factory.mktemp("study")
    real = repository.parent / "shared" / "data" / "mr_abdomen"
    volume, labels = real_study(real) if real.is_dir() else made_study(folder)
    findings = findings_of(volume, labels)
    (folder / "v0001.html").write_text(build_page(findings, volume), "utf-8")
    return Study(volume, findings, folder / "v0001.html")
