"""The oracle of the review loop, and what it counts, on a scan with two known lesions."""

import argparse
import csv
import importlib.util
import json
import sys

import numpy as np
import pytest
import SimpleITK as sitk
from labelled_findings import findings_of

from data_prep.bookmarks.formats.csv_table import MM_COLUMNS, PIXEL_COLUMNS
from data_prep.volumes.volume import read_label_volume, read_volume
from mmglan.inference.outputs.tables import json_of
from mmglan.review.reader_agreement import Cross

# A cross of 8 x 4 around (12, 10) and one of 4 x 2 around (25, 20), on slice 1.
CROSSES = {1: [8, 10, 16, 10, 12, 8, 12, 12], 2: [23, 20, 27, 20, 25, 19, 25, 21]}


@pytest.fixture(scope="module")
def loop(repository):
    path = repository / "tools/review_loop.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # for its dataclass
    spec.loader.exec_module(module)
    yield module
    del sys.modules[path.stem]


def table(path, rows):
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def args(tmp_path):
    """Scans a (training, lesions 1 and 2) and b (test), and their tables."""
    y, x = np.mgrid[:32, :40]
    masks = np.zeros((3, 32, 40), np.uint8)
    masks[1][((x - 12) / 4.2) ** 2 + ((y - 10) / 2.2) ** 2 < 1] = 1
    masks[1][((x - 25) / 2.2) ** 2 + ((y - 20) / 1.2) ** 2 < 1] = 2
    source = tmp_path / "source"
    for name in ("a", "b"):
        for kind, array in (("images", masks * 50), ("masks", masks)):
            ending = ".nii.gz" if kind == "images" else "_mask.nii.gz"
            image = sitk.GetImageFromArray(array)
            image.SetOrigin((5.0, -3.0, 9.0))
            (source / kind).mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(image, str(source / kind / f"{name}{ending}"))
    work = tmp_path / "work"
    (work / "source").mkdir(parents=True)
    splits = [("a.nii.gz", "train"), ("b.nii.gz", "test")]
    table(work / "split.csv", [{"volume": v, "split": s} for v, s in splits])
    table(work / "ids_train.csv", [{"volume_id": "v0001", "volume": "/there/a.nii.gz"}])
    rows = [
        {"volume": volume, "slice": 1, **dict(zip(PIXEL_COLUMNS, cross, strict=True))}
        for volume, _ in splits
        for cross in CROSSES.values()
    ]
    table(work / "source/bookmarks.csv", rows)
    return argparse.Namespace(source=source, work_dir=work, hide=0.5, seeds=[0, 1])


def candidate(points, z):
    """A row of the worklist; points are (x, y) in pixels of slice z."""
    mm = np.column_stack([np.reshape(points, (4, 2)), np.full(4, z)]) + (5.0, -3.0, 9.0)
    values = map(str, mm.ravel())
    return {"volume": "v0001", "status": "lesion", **dict(zip(MM_COLUMNS, values, strict=True))}


def test_the_oracle_draws_the_cross_of_the_lesion_that_a_candidate_touches(loop, args):
    said = loop.answer(args, candidate([13, 9, 21, 9, 17, 6, 17, 12], 1))
    assert said["status"] == "lesion"
    cross = Cross("", np.array([float(said[c]) for c in MM_COLUMNS]).reshape(4, 3))
    assert cross.centre == pytest.approx((17, 7, 10), abs=1)
    assert (cross.long_mm, cross.short_mm) == pytest.approx((8, 4), abs=1.5)


@pytest.mark.parametrize(("x", "z"), [(30, 1), (12, 0)])
def test_the_oracle_rejects_what_touches_none(loop, args, x, z):
    row = candidate([x, 10, x + 4, 10, x + 2, 9, x + 2, 11], z)
    assert loop.answer(args, row) == row | {"status": "not-a-lesion"}
    assert loop.lesions_of(args, [row]) == set()


def test_bookmarks_of_training_patients_are_hidden(loop, args):
    loop.hide(args)
    hidden, left = (loop.read_rows(args.work_dir / f"{n}.csv") for n in ("answers", "hidden"))
    assert [row["volume"] for row in hidden] == ["a.nii.gz"] and len(left) == 3
    label = 1 if float(hidden[0]["long_x1"]) == 8 else 2
    assert loop.hidden_lesions(args) == {("a.nii.gz", label)}
    found = candidate(CROSSES[label], 1)
    assert loop.lesions_of(args, [found]) == loop.hidden_lesions(args)


def write_source(folder, count):
    """Scans of 24 slices with two lesions, on slices 6 and 17, and a bright spot on slice 11."""
    z, y, x = np.mgrid[:24, :48, :48].astype(float)
    random = np.random.default_rng(0)
    for number in range(count):
        labels = np.zeros(z.shape, np.uint8)
        for label, (cx, cy, cz) in {1: (14, 12, 6), 2: (30, 34, 17)}.items():
            apart = ((x - cx) / 5) ** 2 + ((y - cy - number % 3) / 3.5) ** 2 + ((z - cz) / 1.5) ** 2
            labels[apart < 1] = label
        spot = ((x - 36) / 4) ** 2 + ((y - 10) / 3) ** 2 + ((z - 11) / 1.5) ** 2 < 1
        array = random.integers(0, 60, z.shape) + 120 * (labels > 0) + 100 * spot
        for kind, values in (("images", array), ("masks", labels), ("spots", 3 * spot)):
            ending = {"images": "", "masks": "_mask", "spots": "_spot"}[kind]
            (folder / kind).mkdir(parents=True, exist_ok=True)
            image = sitk.GetImageFromArray(values.astype(np.uint8))
            image.SetSpacing((1.0, 1.0, 5.0))  # or the spot's slice might hold a lesion
            sitk.WriteImage(image, str(folder / kind / f"p{number}{ending}.nii.gz"))


def test_a_review_becomes_the_next_training_set(loop, tmp_path):
    """All steps but the network, whose findings are all lesions and the bright spots."""
    args = loop.parse_args(["--source", str(tmp_path / "in"), "--work-dir", str(tmp_path / "w")])
    args.budget, args.seeds = 1000, [0]
    write_source(args.source, 6)
    loop.prepare_all(args)
    loop.hide(args)
    loop.prepare(args, "hidden", [args.work_dir / "hidden.csv"])
    scans = loop.training_scans(args)
    rows = [{"volume_id": f"v{n:04d}", "volume": args.source / "images" / scan}
            for n, scan in enumerate(scans, start=1)]  # fmt: skip
    table(args.work_dir / "ids_train.csv", rows)
    for row in rows:
        volume, stem = read_volume(row["volume"]), row["volume"].name.removesuffix(".nii.gz")
        labels, spot = (
            read_label_volume(args.source / f"{kind}s/{stem}_{kind}.nii.gz").array
            for kind in ("mask", "spot")
        )
        out = loop.found_dir(args, 0) / row["volume_id"]
        out.mkdir(parents=True)
        (out / "findings.json").write_bytes(json_of(findings_of(volume, labels + spot)))
    loop.review(args, 0)
    hidden = len(loop.read_rows(args.work_dir / "answers.csv"))
    assert (
        hidden == round(0.4 * 2 * len(scans)) == 2 * len(scans) - len(train_boxes(args, "hidden"))
    )
    assert json.loads((args.work_dir / "review_seed0.json").read_bytes()) == {
        "lesion": hidden,
        "not-a-lesion": len(scans),
        "worklist": hidden + len(scans),
        "hidden_lesions_found": hidden,
    }
    assert len(train_boxes(args, "reviewed_seed0")) == 2 * len(scans)
    content = training_set(args, "reviewed_seed0")
    negatives = [image for image in content["images"] if "hard_negatives" in image]
    assert [image["slice_index"] for image in negatives] == [11] * len(scans)
    check_summary(loop, args)


def check_summary(loop, args):
    """Detections equal to the ground truth, against the same without the first of two seeds'."""
    folder = args.work_dir / "all/annotations/fold0"
    truth = json.loads((folder / "test_whole.json").read_bytes())
    right = [
        {"image_id": a["image_id"], "category_id": 1, "bbox": a["bbox"], "score": 0.9}
        for a in truth["annotations"]
    ]
    args.seeds, args.arms, args.bootstrap = [0, 1], ["hidden", "continued"], 20
    for arm in args.arms:
        for seed in args.seeds:
            run = loop.run_dir(args, arm, seed)
            run.mkdir(parents=True)
            rows = [] if (arm, seed) == ("hidden", 0) else right
            (run / "results.bbox.json").write_text(json.dumps(rows))
            value = {"name": "bbox_AP50", "value": float(bool(rows))}
            (run / "results.metrics.json").write_text(json.dumps({"values": [value]}))
    record = loop.summary(args)
    assert record["runs"]["hidden, seed 0"] == {"bbox_AP50": 0}
    found = record["pairs"]["continued - hidden"]["bbox_AP50"]
    assert (found["first"], found["second"], found["difference"]) == pytest.approx((1, 0.5, 0.5))


def training_set(args, name):
    return json.loads((args.work_dir / name / "annotations/train.json").read_bytes())


def train_boxes(args, name):
    return training_set(args, name)["annotations"]
