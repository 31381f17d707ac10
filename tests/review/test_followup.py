"""Two studies of a made patient: what is new, lost, grown, shrunk is known."""

import csv
import json

import numpy as np
import pytest
import SimpleITK as sitk

from data_prep.bookmarks.formats.csv_table import MM_COLUMNS
from data_prep.volumes.volume import read_volume
from mmglan.commands.followup import main
from mmglan.review.followup import Rules, compare_studies
from mmglan.review.reader_agreement import Cross
from mmglan.review.registration import RigidMotion, register


def cross(x, short, long=None, z=0.0):
    long = long or short + 4
    ends = [(x - long / 2, 0, z), (x + long / 2, 0, z), (x, -short / 2, z), (x, short / 2, z)]
    return Cross("", np.array(ends, float))


def test_changes_by_hand():
    earlier = [cross(0, 20), cross(100, 16), cross(200, 15), cross(300, 8), cross(400, 30)]
    later = [cross(1, 25), cross(100, 18), cross(300, 4), cross(600, 9), cross(402, 20)]
    found = compare_studies(earlier, later, RigidMotion.none())
    # 20 -> 25: +25 %; 16 -> 18: +12.5 %; 8 -> 4: -4 mm; 30 -> 20: -33 %.
    expected = ["grown", "stable", "lost", "shrunk", "shrunk", "new"]
    assert [change.status for change in found.changes] == expected
    assert [change.target for change in found.changes] == [True, True, True, False, True, False]
    assert found.sums_mm == pytest.approx((20 + 16 + 15 + 30, 25 + 18 + 0 + 20))
    assert found.sum_change_percent == pytest.approx(100 * (63 - 81) / 81)


def test_small_changes_need_both_limits():
    one = compare_studies([cross(0, 5)], [cross(0, 7.5)], RigidMotion.none())
    assert one.changes[0].status == "stable"  # +50 %, but 2.5 mm
    rules = Rules(change_mm=2.0)
    assert (
        compare_studies([cross(0, 5)], [cross(0, 7.5)], RigidMotion.none(), rules).changes[0].status
        == "grown"
    )


def test_five_targets_at_most_and_none():
    earlier = [cross(100 * i, 15 + i) for i in range(7)]
    found = compare_studies(earlier, [], RigidMotion.none())
    assert [change.target for change in found.changes] == 2 * [False] + 5 * [True]
    assert compare_studies([cross(0, 9)], [], RigidMotion.none()).sum_change_percent is None
    assert compare_studies([], [], RigidMotion.none()).changes == ()


@pytest.fixture(scope="module")
def moved_scans(tmp_path_factory):
    """A blurred random body, and the same turned by 4 degrees and shifted by (6, -4, 3) mm."""
    folder = tmp_path_factory.mktemp("moved")
    rng = np.random.default_rng(3)
    array = rng.normal(size=(24, 48, 48)).astype(np.float32)
    image = sitk.SmoothingRecursiveGaussian(sitk.GetImageFromArray(array), 2.0)
    z, y, x = np.mgrid[:24, :48, :48]
    body = ((x - 24) / 19) ** 2 + ((y - 24) / 16) ** 2 + ((z - 12) / 10) ** 2 < 1
    array = np.where(body, 300 + 2000 * sitk.GetArrayFromImage(image), 0).astype(np.float32)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((2.0, 2.0, 3.0))
    image.SetOrigin((-48.0, -48.0, -36.0))
    motion = sitk.Euler3DTransform((0, 0, 0), 0.0, 0.0, np.radians(4), (6.0, -4.0, 3.0))
    later = sitk.Resample(image, motion.GetInverse(), sitk.sitkLinear, 0.0)
    for name, one in (("earlier", image), ("later", later)):
        sitk.WriteImage(sitk.Cast(one, sitk.sitkInt16), str(folder / f"{name}.nii.gz"))
    return folder, motion


def test_registration_finds_the_motion(moved_scans):
    folder, motion = moved_scans
    scans = [read_volume(folder / f"{name}.nii.gz") for name in ("earlier", "later")]
    found = register(*scans)
    points = np.array([[0.0, 0, 0], [20, 10, 5], [-15, 20, -12]])
    expected = [motion.TransformPoint(tuple(p)) for p in points]
    assert np.linalg.norm(found(points) - expected, axis=1).max() < 1.0
    assert found.angle_deg == pytest.approx(4, abs=0.7)
    again = register(*scans)
    assert np.array_equal(again.matrix, found.matrix) and np.array_equal(again.shift, found.shift)


def review_json(path, crosses):
    """A review in which a reader accepted crosses, given in mm."""
    marks = [
        {
            "status": "accepted",
            "score": None,
            "slice_index": 0,
            "points": [[0, 0]] * 4,
            "points_lps": one.points.tolist(),
        }
        for one in crosses
    ]
    path.write_text(json.dumps({"schema": 1, "volume_id": "v0001", "marks": marks}))
    return str(path)


def test_the_command(moved_scans, tmp_path, capsys):
    folder, motion = moved_scans
    earlier = [cross(-15, 16), cross(15, 6), cross(0, 5, z=-12)]
    later = [Cross("", np.array([motion.TransformPoint(tuple(p)) for p in cross(-15, 20).points]))]
    later.append(Cross("", np.array([motion.TransformPoint(tuple(p)) for p in earlier[1].points])))
    later.append(cross(-20, 8, z=15))
    marks = [review_json(tmp_path / f"{i}.json", one) for i, one in enumerate((earlier, later))]
    scans = [str(folder / f"{name}.nii.gz") for name in ("earlier", "later")]
    assert main([*scans, "--marks", *marks, "--out-dir", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "positions: rigid registration" in said
    assert "16.0 -> 20.0 mm (+25.0 %)" in said
    rows = list(csv.DictReader((tmp_path / "out/followup.csv").open()))
    assert [row["status"] for row in rows] == ["grown", "stable", "lost", "new"]
    assert [row["target"] for row in rows] == ["1", "0", "0", "0"]
    assert float(rows[0]["change_percent"]) == 25.0 and rows[2]["later_x_mm"] == ""
    page = (tmp_path / "out/followup.html").read_text()
    assert "default-src 'none'" in page and page.count("<img") == 8


def test_bookmarks_as_marks_and_no_registration(moved_scans, tmp_path, capsys):
    folder, _ = moved_scans
    table = tmp_path / "b.csv"
    lines = ["volume,frame," + ",".join(MM_COLUMNS)]
    lines.append("a,LPS," + ",".join(map(str, cross(-15, 16).points.ravel())))
    table.write_text("\n".join(lines) + "\n")
    scan = str(folder / "earlier.nii.gz")
    words = [scan, scan, "--marks", str(table), str(table), "--out-dir", str(tmp_path / "out")]
    assert main([*words, "--registration", "none"]) == 0
    said = capsys.readouterr().out
    assert "stable  1" in said and "16.0 -> 16.0 mm (+0.0 %)" in said
    (tmp_path / "b.json").write_text("{}")
    words[3] = str(tmp_path / "b.json")
    assert main([*words, "--registration", "none"]) == 2
    assert "schema 1" in capsys.readouterr().err
