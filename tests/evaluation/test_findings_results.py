"""FROC per volume of the folders that `infer` writes, by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from mmglan.commands import evaluate
from mmglan.detections.findings import Findings, Lesion, ScanGeometry
from mmglan.evaluation.evaluation_record import read_evaluation

GRID = ((4, 20, 20), (1.0,) * 3, (20, 20, 4), (1.0,) * 3, (0.0,) * 3, tuple(np.eye(3).ravel()))
LESION = Lesion(1, 0.9, None, (5, 5, 1, 8, 8, 2), (6.5, 6.5, 1.5), None, None, ())


def write(folder, *lesions, grid=GRID):
    folder.mkdir(parents=True)
    findings = Findings(folder.name, ScanGeometry(*grid), lesions)
    (folder / "findings.json").write_text(json.dumps(findings.to_json()))


@pytest.fixture
def folders(tmp_path):
    """Two volumes with a lesion each; the second's is missed, with a false positive instead."""
    out = tmp_path / "findings"
    write(out / "v0001", LESION)
    write(out / "v0002", replace(LESION, score=0.8, box3d=(12, 12, 0, 15, 15, 1)))
    masks = tmp_path / "masks"
    masks.mkdir()
    for name in ("b", "a"):
        array = np.zeros((4, 20, 20), np.uint8)
        array[1:3, 5:9, 5:9] = 1
        sitk.WriteImage(sitk.GetImageFromArray(array), str(masks / f"{name}_mask.nii.gz"))
    (tmp_path / "scans.csv").write_text("volume_id,volume\nv0001,/x/b.nii.gz\nv0002,/x/a.nii.gz\n")
    return tmp_path


def words(folder, *more):
    given = ["--findings", str(folder / "findings"), "--gt-masks", str(folder / "masks")]
    given += ["--findings-ids", str(folder / "scans.csv"), "--out", str(folder / "m.json")]
    return [*given, "--bootstrap", "50", "--quiet", *more]


def test_froc_per_volume_with_intervals(folders):
    assert evaluate.main(words(folders)) == 0
    found = read_evaluation(folders / "m.json")
    assert found.counts["bbox3d"].n_images == 2 and found.counts["bbox3d"].n_lesions == 2
    value = found["bbox3d_FROC_IoBB30_fp0.5"]
    assert value.value == 0.5 and value.interval.high == 1.0
    curve = found.curves[0]
    assert (curve.fp, curve.sensitivity, curve.score) == ((0.0, 0.5), (0.5, 0.5), (0.9, 0.8))


def test_volumes_by_the_two_tables(folders):
    volumes = [{"volume_id": f"v{n}", "shape_zyx": [4, 20, 20]} for n in (7, 8)]
    lesions = [{"volume_id": "v7", "box3d": [5, 5, 1, 8, 8, 2]}]
    (folders / "v.json").write_text(json.dumps({"volumes": volumes, "lesions": lesions}))
    (folders / "ids.csv").write_text("volume_id,volume\nv7,b.nii.gz\nv8,a.nii.gz\n")
    given = words(folders, "--volumes", str(folders / "v.json"), "--ids", str(folders / "ids.csv"))
    del given[2:4]
    assert evaluate.main(given) == 0
    assert read_evaluation(folders / "m.json")["bbox3d_FROC_IoBB30_fp0.5"].value == 1.0


def test_findings_of_nothing_are_a_result(folders):
    for name in ("v0001", "v0002"):
        (folders / f"findings/{name}/findings.json").unlink()
        (folders / f"findings/{name}").rmdir()
        write(folders / f"findings/{name}")
    assert evaluate.main(words(folders)) == 0
    assert read_evaluation(folders / "m.json")["bbox3d_FROC_IoBB30_fp8"].value == 0.0


@pytest.mark.parametrize("fault", ["missing", "grid", "twice", "none", "json"])
def test_findings_that_do_not_fit(folders, capsys, fault):
    more, says = [], {"missing": "1 of 2 have none", "twice": "have the same", "none": "found none"}
    says |= {"grid": "4 axial slices of v7 but they are of a scan of 5", "json": "schema 1"}
    path = folders / "findings/v0002/findings.json"
    if fault == "missing":
        path.unlink()
    elif fault == "twice":
        table = folders / "scans.csv"
        table.write_text(table.read_text().replace("a.nii", "b.nii"))
    elif fault == "none":
        path.unlink()
        (folders / "findings/v0001/findings.json").unlink()
    elif fault == "json":
        path.write_text("{}")
    else:
        volumes = [{"volume_id": "v7", "shape_zyx": [4, 20, 20]}]
        (folders / "v.json").write_text(json.dumps({"volumes": volumes, "lesions": []}))
        (folders / "ids.csv").write_text("volume_id,volume\nv7,c.nii.gz\n")
        (folders / "scans.csv").write_text("volume_id,volume\nv0003,c.nii.gz\n")
        write(folders / "findings/v0003", grid=((5, 20, 20), *GRID[1:]))
        more = ["--volumes", str(folders / "v.json"), "--ids", str(folders / "ids.csv")]
    given = words(folders, *more)
    if more:
        del given[2:4]
    assert evaluate.main(given) == 2
    said = capsys.readouterr().err
    assert says[fault] in said and said.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize("wrong", [["--pred", "x"], ["--scores", "x"], ["--binary-masks"]])
def test_options_that_do_not_go_together(folders, wrong):
    with pytest.raises(SystemExit):
        evaluate.parse_args(words(folders, *wrong))
