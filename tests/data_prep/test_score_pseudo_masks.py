"""The quality report, from files to table, and its parts."""

from __future__ import annotations

import csv
import gzip
import shutil
import struct

import cv2
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_makers import dataset
from pydicom.dataset import Dataset
from scipy import ndimage, stats

from data_prep import prepare, score_pseudo_masks
from data_prep.bookmarks import recist
from data_prep.bookmarks.recist import Bookmark
from data_prep.phantoms import abdomen
from data_prep.pseudo_masks import box_cases, shapes
from data_prep.pseudo_masks import cases as pseudo_mask_cases
from data_prep.pseudo_masks import scores as pseudo_mask_scores
from data_prep.pseudo_masks.cases import Case, Selection
from data_prep.pseudo_masks.clustered_mean import clustered_mean
from data_prep.pseudo_masks.methods import METHODS


def table(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    out = tmp_path_factory.mktemp("phantoms")
    abdomen.write_dataset(out, 3, seed=2, shape=(8, 96, 96), n_nodes=4)
    return out


def command(folder, out, *more):
    return score_pseudo_masks.main(
        ["--images", str(folder / "images"), "--masks", str(folder / "masks")]
        + ["--out-dir", str(out), "--instances", "--bootstrap", "50", "--quiet", *more]
    )


def test_the_report_on_phantoms(phantoms, tmp_path, capsys):
    assert command(phantoms, tmp_path) == 0
    rows = table(tmp_path / "scores.csv")
    lesions = {(row["volume"], row["slice"], row["label"], row["part"]) for row in rows}
    assert len(rows) == len(lesions) * len(METHODS) and len(lesions) > 15
    summary = {
        row["mask_method"]: row for row in table(tmp_path / "summary.csv") if row["group"] == "all"
    }
    assert list(summary) == list(METHODS)
    for method, entry in summary.items():
        dsc = [float(row["dsc"]) for row in rows if row["mask_method"] == method]
        assert float(entry["dsc"]) == pytest.approx(np.mean(dsc), abs=1e-5)
        assert int(entry["n"]) == len(lesions)
        assert float(entry["dsc_low"]) <= float(entry["dsc"]) <= float(entry["dsc_high"])
    assert float(summary["bounded-lean"]["dsc"]) > 0.95 > float(summary["box"]["dsc"])
    assert float(summary["bounded-lean"]["first_minus"]) == 0.0
    text = (tmp_path / "summary.md").read_text()
    assert text in capsys.readouterr().out
    assert f"n = {len(lesions)} lesions" in text
    picture = cv2.imread(str(tmp_path / "worst.png"))
    assert picture.ndim == 3 and picture.shape[0] > 176
    assert ((picture == (0, 255, 255)).all(axis=2)).any()  # ground truth, yellow


def test_the_report_is_the_same_for_any_number_of_workers(phantoms, tmp_path):
    for jobs in ("1", "2"):
        assert command(phantoms, tmp_path / jobs, "--jobs", jobs) == 0
    for name in ("scores.csv", "summary.csv", "summary.md", "worst.png"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_volumes_that_fail_are_named_and_the_rest_is_scored(phantoms, tmp_path, capsys):
    folder = tmp_path / "set"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
        for k in (0, 1):
            file = f"phantom_{k:03d}.nii.gz"
            (folder / name / file).write_bytes((phantoms / name / file).read_bytes())
    (folder / "masks" / "phantom_001.nii.gz").unlink()
    (folder / "images" / "broken.nii.gz").write_bytes(b"nothing")
    (folder / "masks" / "broken.nii.gz").write_bytes(b"nothing")
    assert command(folder, tmp_path / "out") == 1
    assert {row["volume"] for row in table(tmp_path / "out" / "scores.csv")} == {
        "phantom_000.nii.gz"
    }
    errors = capsys.readouterr().err
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert "phantom_001.nii.gz: Expected a mask of the same name but got none. Add it." in lines[1]
    assert len(lines) == 2 and "broken.nii.gz: Expected" in lines[0]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--min-short-px", "500"], "Expected at least one lesion but got none. Widen the limits"),
        (["--masks", "nowhere"], "Expected volumes with masks but got none. Correct --images"),
    ],
)
def test_a_run_without_lesions_fails_in_one_line(phantoms, tmp_path, capsys, more, message):
    assert command(phantoms, tmp_path, *more) == 2
    errors = capsys.readouterr().err
    assert message in errors and errors.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "summary.csv").exists()


def test_an_output_folder_that_cannot_be_written(phantoms, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert command(phantoms, tmp_path / "file" / "out") == 2
    assert "Expected an --out-dir that can be written but got: Not a dir" in capsys.readouterr().err


@pytest.mark.parametrize(
    "more",
    [
        ["--noise", "nan"],
        ["--level", "1"],
        ["--bootstrap", "0"],
        ["--worst", "-1"],
        ["--one-based"],
        ["--margin", "5"],
    ],
)
def test_options_that_make_no_sense_are_refused(phantoms, tmp_path, more):
    with pytest.raises(SystemExit) as ended:
        command(phantoms, tmp_path / "out", *more)
    assert ended.value.code == 2 and not (tmp_path / "out").exists()


def test_every_component_of_every_label_is_a_case(tmp_path):
    labels = np.zeros((3, 40, 50), np.uint8)
    labels[0, 5:12, 5:14] = 4  # two parts of label 4 that meet on slice 1
    labels[0, 20:28, 5:12] = 4
    labels[1, 5:28, 5:12] = 4
    labels[2, 30:38, 30:45] = 9
    labels[2, 2:4, 2:4] = 9  # too small
    image = np.random.default_rng(0).integers(0, 99, labels.shape).astype(np.int16)
    for name, array in (("image", image), ("labels", labels)):
        file = sitk.GetImageFromArray(array)
        file.SetSpacing((2.0, 2.0, 5.0))
        sitk.WriteImage(file, str(tmp_path / f"{name}.nii.gz"))
    cases = list(
        pseudo_mask_cases.from_masks(
            tmp_path / "image.nii.gz", tmp_path / "labels.nii.gz", tmp_path, Selection()
        )
    )
    assert [(c.slice_index, c.label, c.part) for c in cases] == [
        (0, 4, 1),
        (0, 4, 2),
        (1, 4, 1),
        (2, 9, 2),
    ]
    assert len({c.cluster for c in cases[:3]}) == 1 != len({c.cluster for c in cases})
    assert cases[0].box == (5, 5, 14, 12) and cases[0].spacing_mm == (2.0, 2.0)
    assert (cases[1].gt_mask == (ndimage.label(labels[0])[0] == 2)).all()
    assert cases[3].bookmark == recist.measure(cases[3].gt_mask)
    small = Selection(max_long_mm=25.0)
    files = (tmp_path / "image.nii.gz", tmp_path / "labels.nii.gz", tmp_path)
    assert len(list(pseudo_mask_cases.from_masks(*files, small))) == 2


def test_scores_by_hand():
    truth = np.zeros((30, 40), bool)
    truth[10:21, 8:29] = True
    bookmark = Bookmark([[8, 15], [28, 15]], [[18, 12], [18, 18]])
    case = Case("v", 3, 7, 1, "c", truth * 100, truth, (8, 10, 29, 21), bookmark, (0.5, 0.5))
    row = pseudo_mask_scores.score(case, "box")
    assert (row["slice"], row["label"], row["long_mm"], row["short_mm"]) == (3, 7, 10.0, 3.0)
    assert row["dsc"] == pytest.approx(2 * 21 * 7 / (21 * 7 + 21 * 11))
    assert row["iou"] == pytest.approx(7 / 11)
    assert pseudo_mask_scores.score(case, "ellipse")["iou"] == pytest.approx(7 / 11)
    # Above and below, the box lies 2 pixels of 0.5 mm inside; at its corners the sides are nearer.
    assert 0.5 < row["asd_mm"] < 1.0


def test_boxes_only(tmp_path):
    image = np.full((64, 64), 50, np.uint8)
    image[20:31, 12:41] = 200
    cv2.imwrite(str(tmp_path / "a.png"), image)
    (tmp_path / "boxes.csv").write_text("file,x1,y1,x2,y2\na.png,8,16,46,36\n")
    rows = box_cases.read_boxes(tmp_path / "boxes.csv")
    found = [box_cases.from_box(row, tmp_path, 5.0, True, Selection()) for row in rows]
    assert len(found) == 1 and found[0].gt_mask is None
    assert found[0].box == (12.0, 20.0, 41.0, 31.0)
    assert found[0].bookmark.points().tolist() == [[12, 25], [40, 25], [26, 20], [26, 30]]
    arguments = ["--images", str(tmp_path), "--boxes", str(tmp_path / "boxes.csv"), "--margin", "5"]
    assert (
        score_pseudo_masks.main([*arguments, "--one-based", "--out-dir", str(tmp_path / "o")]) == 0
    )
    rows = {row["mask_method"]: row for row in table(tmp_path / "o" / "scores.csv")}
    assert rows["bounded"]["dsc"] == "" and float(rows["bounded"]["iou"]) > 0.9
    assert float(rows["box"]["iou"]) == 1.0


def test_masks_in_a_folder_of_the_images_are_no_volumes(phantoms, tmp_path):
    (tmp_path / "masks").mkdir()
    name = sorted(path.name for path in (phantoms / "masks").iterdir())[0]
    shutil.copy(phantoms / "images" / name, tmp_path)
    shutil.copy(phantoms / "masks" / name, tmp_path / "masks")
    source = ["--images", str(tmp_path), "--masks", str(tmp_path / "masks"), "--bootstrap", "20"]
    assert score_pseudo_masks.main([*source, "--out-dir", str(tmp_path / "o")]) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,x1,y1,x2\na.png,1,2,3\n", "boxes.csv: Expected rows with the columns file, x1, y1"),
        ("file,x1,y1,x2,y2\n", "boxes.csv: Expected rows with the columns file, x1, y1, x2, y2"),
        ("\xff", "boxes.csv: Expected a CSV table in UTF-8 but got: UnicodeDecodeError"),
        ("{}a.png,1,2,x,4\n", "boxes.csv, row 3: Expected four numbers for the box but got"),
        ("{}a.png,1,2,5\n", "boxes.csv, row 3: Expected four numbers for the box but got"),
        ("{}a.png,1,2,99,4\n", "boxes.csv, row 3: Expected an image a.png that holds the box but"),
        ("{}b.png,1,2,5,4\n", "boxes.csv, row 3: Expected an image b.png that holds the box but"),
        ("{}../b.png,1,2,5,4\n", "Expected a path"),
    ],
)
def test_bad_box_tables(tmp_path, capsys, text, message):
    cv2.imwrite(str(tmp_path / "a.png"), np.eye(16, dtype=np.uint8) * 90)
    good = "file,x1,y1,x2,y2\na.png,2,2,9,7\n"
    (tmp_path / "boxes.csv").write_bytes(text.format(good).encode("latin-1"))
    arguments = ["--images", str(tmp_path), "--boxes", str(tmp_path / "boxes.csv")]
    status = 1 if "{}" in text else 2
    assert score_pseudo_masks.main([*arguments, "--out-dir", str(tmp_path / "o")]) == status
    errors = [line for line in capsys.readouterr().err.splitlines() if "Expected" in line]
    assert len(errors) == 1 and message in errors[0]
    # The good row is scored all the same.
    assert (tmp_path / "o" / "scores.csv").exists() == ("{}" in text)


def test_noise_is_seeded_and_scales_with_the_lesion():
    bookmark = Bookmark([[0, 0], [40, 0]], [[20, -10], [20, 10]])
    select = Selection(noise=0.05, seed=3)
    moves = [
        pseudo_mask_cases.disturb(bookmark, select, (k,)).points() - bookmark.points()
        for k in range(400)
    ]
    assert np.std(moves) == pytest.approx(0.05 * 20, rel=0.05)
    again = pseudo_mask_cases.disturb(bookmark, select, (0,))
    assert (again.points() - bookmark.points() == moves[0]).all()
    assert pseudo_mask_cases.disturb(bookmark, Selection(), (0,)) == bookmark


def test_intervals_are_those_of_scipy():
    rng = np.random.default_rng(3)
    clusters = rng.integers(0, 25, 200)
    values = rng.gamma(1.0, 1.0, 25)[clusters] + rng.random(200)
    sums, counts = np.bincount(clusters, values), np.bincount(clusters)
    wanted = stats.bootstrap(
        (sums, counts),
        lambda s, n, axis: s.sum(axis=axis) / n.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=20_000,
        random_state=1,
    ).confidence_interval
    names = [f"{c:02d}" for c in clusters]
    found = clustered_mean(values, names, n_resamples=20_000)
    assert found[1:] == pytest.approx([wanted.low, wanted.high], abs=0.04)


def test_intervals_resample_clusters():
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(20), 15)
    values = rng.normal(0, 1, 20)[clusters] + rng.normal(0, 0.1, 300)
    mean, low, high = clustered_mean(values, clusters)
    assert mean == pytest.approx(values.mean()) and low < mean < high
    # Twenty clusters of which each is nearly one value: 2 × 1.96 / √20 wide, not 2 × 1.96 / √300.
    assert high - low == pytest.approx(3.92 * values.std() / np.sqrt(20), rel=0.25)
    _, low, high = clustered_mean(values, np.arange(300))
    assert high - low == pytest.approx(3.92 * values.std() / np.sqrt(300), rel=0.25)
    assert clustered_mean([2.0] * 6, list("aabbcc")) == (2.0, 2.0, 2.0)
    assert np.isnan(clustered_mean([1.0, 2.0], ["a", "b"])[1])
    assert np.isnan(clustered_mean([], [])).all()


def test_box_iou_by_hand():
    assert pseudo_mask_scores.box_iou((0, 0, 4, 2), (2, 0, 6, 2)) == pytest.approx(1 / 3)
    assert pseudo_mask_scores.box_iou((0, 0, 4, 2), (4, 0, 6, 2)) == 0.0
    assert pseudo_mask_scores.box_iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0.0


def test_pseudo_masks_on_a_real_volume(shared_data, tmp_path):
    folder = shared_data / "mr_abdomen"
    arguments = ["--images", str(folder / "image.nii.gz"), "--masks", str(folder / "labels.nii.gz")]
    arguments += ["--out-dir", str(tmp_path), "--bootstrap", "20", "--worst", "0"]
    assert score_pseudo_masks.main(arguments) == 0
    summary = table(tmp_path / "summary.csv")
    dsc = {row["mask_method"]: float(row["dsc"]) for row in summary if row["group"] == "all"}
    assert dsc["bounded-lean"] >= 0.85
    assert dsc["bounded-lean"] >= max(dsc.values()) - 0.01


def test_surface_distance_in_mm_of_pixels_that_are_no_squares(tmp_path):
    """A line of pixels and one two rows below it: 2 · 0.5 mm apart; columns are 4 mm apart."""
    truth = np.zeros((20, 24), bool)
    truth[10, 5:16] = True
    bookmark = Bookmark([[5, 12], [15, 12]], [[10, 12], [10, 12]])
    case = Case("v", 0, 1, 1, "c", truth * 100, truth, (5, 10, 16, 11), bookmark, (4.0, 0.5))
    row = pseudo_mask_scores.score(case, "box")
    assert row["asd_mm"] == 1.0 and row["long_mm"] == 40.0


def test_cases_hold_the_spacing_in_the_order_x_y(tmp_path):
    labels = np.zeros((2, 40, 30), np.uint8)
    labels[:, 10:20, 8:14] = 1  # 10 rows of 1 mm, 6 columns of 3 mm
    for name, array in (("image", labels * 90), ("labels", labels)):
        file = sitk.GetImageFromArray(array)
        file.SetSpacing((3.0, 1.0, 5.0))
        sitk.WriteImage(file, str(tmp_path / f"{name}.nii.gz"))
    files = (tmp_path / "image.nii.gz", tmp_path / "labels.nii.gz", tmp_path)
    case, _ = pseudo_mask_cases.from_masks(*files, Selection())
    assert case.spacing_mm == (3.0, 1.0)
    # From the corner (8, 10) to (13, 19): 15 mm and 9 mm.
    assert case.bookmark.long_length(case.spacing_mm) == pytest.approx(np.hypot(15, 9))


def write_nifti(path, array, spacing=(1.0, 1.0, 1.0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    sitk.WriteImage(image, str(path))


@pytest.fixture
def two_squares(tmp_path):
    """Two lesions of 11 x 7 pixels, and three bookmarks: one on each, one on background."""
    labels = np.zeros((2, 48, 64), np.uint8)
    labels[1, 10:17, 8:19], labels[1, 30:37, 40:51] = 1, 2
    write_nifti(tmp_path / "images/scan.nii.gz", (labels > 0).astype(np.int16) * 200)
    write_nifti(tmp_path / "masks/scan_mask.nii.gz", labels)
    rows = ["volume,slice,long_x1,long_y1,long_x2,long_y2,short_x1,short_y1,short_x2,short_y2"]
    for x, y in ((40, 30), (8, 10), (20, 40)):
        rows.append(f"scan,1,{x},{y + 3},{x + 10},{y + 3},{x + 5},{y},{x + 5},{y + 6}")
    (tmp_path / "marks.csv").write_text("\n".join(rows).replace("scan,", "scan.nii.gz,"))
    return tmp_path


def test_given_bookmarks_are_paired_with_the_lesions_they_lie_on(two_squares, tmp_path, capsys):
    arguments = ["--images", "images", "--masks", "masks", "--bookmarks", "marks.csv"]
    arguments = [a if a.startswith("--") else str(two_squares / a) for a in arguments]
    assert score_pseudo_masks.main([*arguments, "--out-dir", str(tmp_path / "out"), "--quiet"]) == 1
    captured = capsys.readouterr()
    assert "error: marks.csv, row 4, slice 1: Expected a lesion of the mask" in captured.err
    assert "| published: pseudo mask | 0.858 | 0.82 | 0.68 |" in captured.out
    rows = {(r["label"], r["mask_method"]): r for r in table(tmp_path / "out/scores.csv")}
    assert len(rows) == 2 * len(METHODS)
    for label in "12":
        assert rows[label, "box"]["iou"] == rows[label, "box"]["dsc"] == "1"
        assert rows[label, "bounded"]["long_mm"] == "10"
    one = [*arguments[:3], str(two_squares / "masks/scan_mask.nii.gz"), *arguments[4:]]
    assert score_pseudo_masks.main([*one, "--out-dir", str(tmp_path / "one"), "--quiet"]) == 1
    for name in ("scores.csv", "summary.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_written_pseudo_masks_against_the_truth_of_the_same_set(two_squares, tmp_path, capsys):
    images, masks, marks = (two_squares / name for name in ("images", "masks", "marks.csv"))
    data = tmp_path / "data"
    call = ["--images", images, "--masks", masks, "--bookmarks", marks, "--out-dir", data]
    call += ["--mask-method", "quadrilateral", "--split", "0,0,1", "--quiet"]
    assert prepare.main(list(map(str, call))) == 0
    files = [str(data / f"annotations/test{end}.json") for end in ("", "_truth")]
    call = ["--pred", files[0], "--gt", files[1], "--out-dir", str(tmp_path / "out"), "--quiet"]
    assert score_pseudo_masks.main(call) == 1
    assert "test.json, v0001/v0001_0001.png: Expected a lesion" in capsys.readouterr().err
    rows = table(tmp_path / "out/scores.csv")
    assert [(r["label"], r["mask_method"]) for r in rows] == [
        ("1", "written"),
        ("1", "box"),
        ("2", "written"),
        ("2", "box"),
    ]
    drawn = shapes.quadrilateral_mask(Bookmark([(8, 13), (18, 13)], [(13, 10), (13, 16)]), (48, 64))
    pixels = np.count_nonzero(drawn)  # all inside the lesion of 77
    assert float(rows[0]["dsc"]) == pytest.approx(2 * pixels / (pixels + 77), abs=1e-5)
    assert rows[1]["dsc"] == rows[1]["iou"] == "1" and rows[1]["asd_mm"] == "0"


@pytest.mark.parametrize(
    "call",
    [
        ["--pred", "a"],
        ["--gt", "a"],
        ["--pred", "a", "--gt", "b", "--images", "c"],
        ["--pred", "a", "--gt", "b", "--grabcut-iterations", "3"],
        ["--images", "a", "--masks", "b", "--bookmarks", "c", "--noise", "0.1"],
        ["--images", "a", "--boxes", "b", "--bookmarks", "c"],
        ["--masks", "b"],
    ],
)
def test_kinds_of_input_do_not_mix(call, tmp_path):
    with pytest.raises(SystemExit) as ended:
        score_pseudo_masks.main([*call, "--out-dir", str(tmp_path / "o")])
    assert ended.value.code == 2


def forms_apart(path):
    """Give a NIfTI file an sform that lies 30 mm from its qform."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into("<2h", content, 252, 1, 2)
    offset = struct.unpack_from("<f", content, 268)[0]
    row = struct.unpack_from("<4f", content, 280)
    struct.pack_into("<4f", content, 280, *row[:3], offset + 30)
    path.write_bytes(gzip.compress(bytes(content), mtime=0))


def test_nifti_whose_forms_disagree(phantoms, tmp_path, capsys):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        file = "phantom_000.nii.gz"
        (tmp_path / name / file).write_bytes((phantoms / name / file).read_bytes())
        forms_apart(tmp_path / name / file)
    assert command(tmp_path, tmp_path / "out") == 2
    assert "--nifti-form qform" in capsys.readouterr().err
    assert command(tmp_path, tmp_path / "out", "--nifti-form", "qform") == 0


def test_dicom_masks_are_refused_by_name(phantoms, tmp_path, capsys):
    (tmp_path / "masks").mkdir()
    data = dataset("1.2.840.10008.5.1.4.1.1.66.4", Dataset())
    data.save_as(tmp_path / "masks/a.dcm", enforce_file_format=True)
    for masks in (tmp_path / "masks", tmp_path / "masks/a.dcm"):
        assert command(phantoms, tmp_path / "out", "--masks", str(masks)) == 2
        error = capsys.readouterr().err
        assert "1 DICOM segmentations or structure sets" in error and "Save them as NIfTI" in error
