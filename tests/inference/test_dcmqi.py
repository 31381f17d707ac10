"""dcmqi reads every value of the reports and every voxel of the segmentations."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

PROGRAMS = Path(sys.executable).parent


def dcmqi(name: str, *arguments) -> None:
    program = PROGRAMS / name
    if not program.exists():
        pytest.skip(f"{name} (PyPI package dcmqi) not installed")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_value_of_the_report(written, tmp_path):
    out = tmp_path / "report.json"
    report = written.folder / "findings.sr.dcm"
    dcmqi("tid1500reader", "--inputDICOM", report, "--outputMetadata", out)
    groups = json.loads(out.read_text())["Measurements"]
    for group, lesion in zip(groups, written.result.findings.lesions, strict=True):
        assert group["TrackingIdentifier"].endswith(f":lesion-{lesion.number}")
        assert group["Finding"]["CodeMeaning"] == "Lesion"
        assert group["measurementAlgorithmIdentification"]["AlgorithmName"] == "bright"
        values = {
            (item["quantity"]["CodeMeaning"], item["units"]["CodeValue"]): float(item["value"])
            for item in group["measurementItems"]
        }
        assert values == {
            ("Long Axis", "mm"): lesion.recist.long_axis_mm,
            ("Short Axis", "mm"): lesion.recist.short_axis_mm,
            ("Volume", "mL"): round(lesion.volume_ml, 4),
        }


def test_every_voxel_of_the_segmentation(written, tmp_path):
    segmentation = written.folder / "findings.seg.dcm"
    arguments = ("--inputDICOM", segmentation, "--outputDirectory", tmp_path)
    dcmqi("segimage2itkimage", *arguments, "--prefix", "s", "--outputType", "nrrd")
    grid, labels = written.result.volume.grid, written.result.labels
    found = np.zeros(grid.size[::-1], labels.dtype)
    for number in (1, 2):
        image = sitk.ReadImage(str(tmp_path / f"s-{number}.nrrd"))
        for index in np.argwhere(sitk.GetArrayFromImage(image))[:, ::-1].tolist():
            point = image.TransformIndexToPhysicalPoint(index)
            stored = grid.stored_index_of_mm([point])[0]
            assert np.abs(stored - np.round(stored)).max() < 0.01
            i, j, k = np.round(stored).astype(int)
            found[k, j, i] = number
    assert np.array_equal(grid.to_axial(found), labels) and labels.max() == 2
