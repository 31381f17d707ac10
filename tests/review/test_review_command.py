"""`mmglan review`: pages of scans, and the report of what a reader accepted."""

import json

import numpy as np
import pytest
from labelled_findings import findings_of
from scan_storages import LEVEL, spots, store
from scipy import ndimage

from data_prep.bookmarks.locate import place
from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.volumes.volume import read_volume
from mmglan.commands.review import main
from mmglan.inference.outputs.tables import csv_of, json_of


def data_of(path):
    text = path.read_text("utf-8").split('id="data">')[1].split("</script>")[0]
    return json.loads(text)


@pytest.fixture
def scan(tmp_path):
    """Folder of a scan, the scan and its findings."""
    folder = tmp_path / "scans"
    store(spots(), "nifti", folder / "one")
    path = next(p for p in folder.rglob("*") if p.is_file())
    volume = read_volume(path, root=folder)
    return folder, volume, findings_of(volume, ndimage.label(volume.array > LEVEL)[0])


def test_pages_with_findings_and_bookmarks(scan, tmp_path, capsys):
    folder, volume, findings = scan
    (tmp_path / "found/v0001").mkdir(parents=True)
    (tmp_path / "found/v0001/findings.json").write_bytes(json_of(findings))
    table = csv_of(findings).decode().replace("v0001", volume.source_id)
    (tmp_path / "marks.csv").write_text("\n".join(table.splitlines()[:2]) + "\n")
    out = tmp_path / "pages"
    more = ["--findings", tmp_path / "found", "--bookmarks", tmp_path / "marks.csv"]
    assert main([str(v) for v in (folder, "--out-dir", out, "--quiet", *more)]) == 0
    data = data_of(out / "v0001.html")
    assert [f["status"] for f in data["findings"]] == ["open", "open", "accepted"]
    assert 'href="v0001.html"' in (out / "index.html").read_text()
    assert "1 of 1 scans" in capsys.readouterr().out


def test_findings_of_another_scan_are_refused(scan, tmp_path, capsys):
    folder, _, findings = scan
    record = findings.to_json()
    record["geometry"]["stored_origin"] = [0.0, 0.0, 0.0]
    (tmp_path / "found/v0001").mkdir(parents=True)
    (tmp_path / "found/v0001/findings.json").write_text(json.dumps(record))
    words = [folder, "--out-dir", tmp_path / "pages", "--quiet", "--findings", tmp_path / "found"]
    assert main(list(map(str, words))) == 1
    assert "grid of the scan" in capsys.readouterr().err


def review_of(findings, **more):
    marks = [
        {
            "status": status,
            "score": 0.5,
            "slice_index": lesion.recist.slice_index,
            "points": [*lesion.recist.long_axis, *lesion.recist.short_axis],
            "points_lps": [*lesion.recist.long_axis_lps, *lesion.recist.short_axis_lps],
            "site": "",
        }
        for lesion, status in zip(findings.lesions, ("accepted", "rejected"), strict=True)
    ]
    return {"schema": 1, "volume_id": "v0001", "marks": marks, **more}


def test_a_review_becomes_a_structured_report(tmp_path):
    store(spots(), "axial", tmp_path / "dicom")
    (folder,) = [p.parent for p in list((tmp_path / "dicom").rglob("*"))[-1:]]
    volume = read_volume(folder, root=folder)
    findings = findings_of(volume, ndimage.label(volume.array > LEVEL)[0])
    (tmp_path / "r.json").write_text(json.dumps(review_of(findings)))
    out = tmp_path / "r.dcm"
    assert main([str(folder), "--to-sr", str(tmp_path / "r.json"), "--out", str(out)]) == 0
    read = read_bookmarks(out, image_root=folder.parent)
    assert len(read.records) == 1 and not read.errors
    points = place(read.records[0], volume).bookmark.points()
    recist = findings.lesions[0].recist
    np.testing.assert_allclose(points, [*recist.long_axis, *recist.short_axis], atol=0.01)


@pytest.mark.parametrize("fault", ["schema", "elsewhere", "text"])
def test_a_wrong_review_is_refused(scan, tmp_path, capsys, fault):
    folder, _, findings = scan
    content = review_of(findings, **({"schema": 9} if fault == "schema" else {}))
    if fault == "elsewhere":
        content["marks"][0]["points_lps"][0] = [500.0, 0.0, 0.0]
    text = "no json" if fault == "text" else json.dumps(content)
    (tmp_path / "r.json").write_text(text)
    words = [
        next(folder.rglob("*.nii.gz")),
        "--to-sr",
        tmp_path / "r.json",
        "--out",
        tmp_path / "o",
    ]
    assert main(list(map(str, words))) == 2
    said = capsys.readouterr().err
    assert ("lie elsewhere" if fault == "elsewhere" else "schema 1") in said
