"""The library of OHIF makes an editable measurement of every finding, where it was found."""

import json
import subprocess

import numpy as np
import pytest


def planes(result) -> dict:
    """Describe the images as Cornerstone's metadata does."""
    grid, first = result.volume.grid, result.sources[0].header
    rows, columns, _ = np.array(grid.direction).reshape(3, 3).T.tolist()
    found = {}
    for k, source in enumerate(result.sources):
        found[f"{source.header.SOPInstanceUID}:{source.frame or 1}"] = {
            "frameOfReferenceUID": first.FrameOfReferenceUID,
            "rows": grid.size[1],
            "columns": grid.size[0],
            "rowCosines": rows,
            "columnCosines": columns,
            "imageOrientationPatient": [*rows, *columns],
            "imagePositionPatient": grid.mm_of_stored_index([[0, 0, k]])[0].tolist(),
            "rowPixelSpacing": grid.spacing[1],
            "columnPixelSpacing": grid.spacing[0],
            "pixelSpacing": [grid.spacing[1], grid.spacing[0]],
        }
    return found


@pytest.fixture(scope="module")
def measurements(node_packages, all_written, tmp_path_factory) -> dict:
    """What the library makes of each report, by the folder of the report."""
    cases = [
        {"report": str(one.folder / "findings.sr.dcm"), "planes": planes(one.result)}
        for one in all_written
    ]
    listing = tmp_path_factory.mktemp("node") / "cases.json"
    listing.write_text(json.dumps(cases))
    done = subprocess.run(
        ["node", node_packages / "bidirectionals.mjs", listing],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    return {one.folder: answer for one, answer in zip(all_written, answers, strict=True)}


def test_every_finding_is_a_bidirectional(measurements, written):
    result, found = written.result, measurements[written.folder]
    grid = result.volume.grid
    images = list(planes(result))
    assert isinstance(found, list), found
    for one, lesion in zip(found, result.findings.lesions, strict=True):
        assert (one["tool"], one["finding"]) == ("Bidirectional", "Lesion")
        assert one["frameOfReference"] == result.sources[0].header.FrameOfReferenceUID
        axes = np.array([*lesion.recist.long_axis, *lesion.recist.short_axis])
        index = np.column_stack([axes, np.full(4, lesion.recist.slice_index)])
        stored = grid.stored_index(index)
        assert np.abs(grid.stored_index_of_mm(one["points"]) - stored).max() < 0.01
        if one["image"] is not None:
            assert images.index(one["image"]) == round(stored[0, 2])


def test_axes_on_square_pixels_lie_on_their_image(measurements, all_written):
    for one in all_written:
        on_image = [entry["image"] is not None for entry in measurements[one.folder]]
        assert on_image == ["_square" in one.folder.parent.name] * 2
