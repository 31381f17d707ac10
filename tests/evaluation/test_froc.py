"""FROC: definitions by hand, an independent loop, and the public evaluator's metrics."""

from __future__ import annotations

import doctest
import json

import numpy as np
import pytest

from mmglan.evaluation import froc as froc_module
from mmglan.evaluation import matching, protocols
from mmglan.evaluation.froc import FROC_FPS, flatten_predictions, froc, froc_by_protocol
from mmglan.evaluation.protocols import Criterion, Protocol

LESION = [[0, 0, 10, 10]]
NONE: list = []
FINE = [0, 0, 1, 1, 0.5]


def loop_froc(predictions, gt, threshold, duplicates="ignore", inclusive=0.0, over="iou"):
    """One detection after the other, as plainly as it can be written."""
    rows = [(row[-1], i, row[:-1]) for i, rows in enumerate(predictions) for row in rows]
    rows.sort(key=lambda row: -row[0])
    found = [np.zeros(len(boxes), bool) for boxes in gt]
    n_lesions = sum(map(len, gt))
    true = false = 0
    points = []
    for position, (score, image, box) in enumerate(rows):
        touched = new = 0
        for index, lesion in enumerate(gt[image]):
            d = len(lesion) // 2
            inter = size_a = size_b = 1.0
            for axis in range(d):
                low = max(box[axis], lesion[axis])
                high = min(box[axis + d], lesion[axis + d])
                inter *= max(high - low + inclusive, 0.0)
                size_a *= box[axis + d] - box[axis] + inclusive
                size_b *= lesion[axis + d] - lesion[axis] + inclusive
            whole = size_a if over == "iobb" else size_a + size_b - inter
            if inter > 0 and inter / whole >= threshold:
                touched += 1
                new += not found[image][index]
                found[image][index] = True
        true += new
        false += not (new if duplicates == "fp" else touched)
        if position + 1 == len(rows) or rows[position + 1][0] != score:
            points.append((false / len(gt), true / n_lesions, score))
    return np.array(points).T


def random_case(rng, n_images=12, dims=2, tied=False):
    predictions, gt = [], []
    for _ in range(n_images):
        low = rng.uniform(0, 40, (rng.integers(0, 5), dims))
        gt.append(np.hstack([low, low + rng.uniform(4, 20, low.shape)]))
        near = gt[-1][rng.integers(0, len(low), 6)] if len(low) else np.zeros((0, 2 * dims))
        near = near + rng.normal(0, 2, near.shape)
        far = rng.uniform(0, 40, (rng.integers(0, 6), dims))
        boxes = np.vstack([near, np.hstack([far, far + rng.uniform(4, 20, far.shape)])])
        boxes[:, dims:] = np.maximum(boxes[:, dims:], boxes[:, :dims])
        scores = rng.random(len(boxes))
        predictions.append(np.column_stack([boxes, scores.round(1) if tied else scores]))
    return predictions, gt


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("duplicates", ["ignore", "fp"])
@pytest.mark.parametrize("overlap", ["iou", "iobb"])
@pytest.mark.parametrize("inclusive", [False, True])
def test_equals_a_plain_loop(dims, duplicates, overlap, inclusive):
    rng = np.random.default_rng(dims)
    for tied in (False, True):
        predictions, gt = random_case(rng, dims=dims, tied=tied)
        curve = froc(
            predictions,
            gt,
            threshold=0.3,
            overlap=overlap,
            dims=dims,
            duplicates=duplicates,
            inclusive=inclusive,
        )
        fp, sensitivity, score = loop_froc(
            predictions, gt, 0.3, duplicates, float(inclusive), overlap
        )
        assert np.array_equal(curve.fp, fp)
        assert np.array_equal(curve.sensitivity, sensitivity)
        assert np.array_equal(curve.score, score)


def test_reference_of_the_public_evaluator(shared_data):
    data = json.loads((shared_data / "froc_reference.json").read_text())
    boxes = [np.array(data["predictions"][name]) for name in data["ground_truth"]]
    gt = [np.array(rows) for rows in data["ground_truth"].values()]
    assert len(data["reference"]) == 5
    for name, expected in data["reference"].items():
        overlap, threshold = name.lower().split("@")
        if name.startswith("2D"):
            overlap = overlap.split()[1]
            given = [rows[:, [0, 1, 3, 4, 6]] for rows in boxes]
            lesions = [rows[:, [0, 1, 3, 4]] for rows in gt]
            fps = expected["fp_per_image"]
        else:
            given, lesions, fps = boxes, gt, expected["fp_per_volume"]
        curve = froc(
            given,
            lesions,
            threshold=float(threshold),
            overlap=overlap,
            dims=2 if name.startswith("2D") else 3,
            inclusive=True,
        )
        assert np.abs(curve.at(fps) - expected["sensitivity"]).max() < 1e-9
        if "mean" in expected:
            assert abs(curve.mean(fps) - expected["mean"]) < 1e-9


def test_duplicates_and_several_lesions_under_one_box():
    pair = [[0, 0, 10, 10], [0, 0, 10, 9]]
    again = [[0, 0, 10, 10, 0.9], [0, 0, 10, 10, 0.8], [50, 50, 60, 60, 0.7]]
    curve = froc([again], [pair], threshold=0.5)
    assert curve.sensitivity.tolist() == [1, 1, 1]
    assert curve.fp.tolist() == [0, 0, 1]
    assert froc([again], [pair], threshold=0.5, duplicates="fp").fp.tolist() == [0, 1, 2]
    one = froc([again], [pair], threshold=0.5, assignment="greedy")
    assert one.sensitivity.tolist() == [0.5, 1, 1]


def test_threshold_is_reached_with_equality():
    half = [[0, 0, 10, 5, 0.5]]
    assert froc([half], [LESION], threshold=0.5).at(0) == 1
    assert froc([half], [LESION], threshold=0.51).at(1) == 0


def test_ends_of_the_curve():
    images = [[[50, 50, 60, 60, 0.9], [0, 0, 10, 10, 0.8]], NONE]
    curve = froc(images, [LESION, LESION], threshold=0.5)
    assert curve.fp.tolist() == [0.5, 0.5]
    assert curve.at([0.25, 0.5, 8]).tolist() == [0, 0.5, 0.5]
    assert curve.threshold_at(0.25) == float("inf")
    assert curve.threshold_at(0.5) == 0.8


def test_equal_scores_stand_or_fall_together():
    images = [[[0, 0, 10, 10, 0.5], [50, 50, 60, 60, 0.5]], [[0, 0, 10, 10, 0.9]]]
    for order in ([0, 1], [1, 0]):
        curve = froc([images[i] for i in order], [LESION, LESION], threshold=0.5)
        assert curve.score.tolist() == [0.9, 0.5]
        assert curve.sensitivity.tolist() == [0.5, 1]
        assert curve.at(0.25) == 0.75
        assert curve.at(0.25, interpolation="step") == 0.5


def test_images_without_lesions_count():
    images = [[[0, 0, 10, 10, 0.9]], [[0, 0, 10, 10, 0.8]], NONE, NONE]
    curve = froc(images, [LESION, NONE, NONE, NONE], threshold=0.5)
    assert curve.fp.tolist() == [0, 0.25]
    assert curve.n_images == 4


@pytest.mark.parametrize("images", [0, 3])
def test_nothing_predicted_and_nothing_to_find(images):
    nothing = froc([NONE] * images, [NONE] * images, threshold=0.5)
    assert np.isnan(nothing.at(1)) and np.isnan(nothing.mean()) and len(nothing.fp) == 0
    silent = froc([NONE] * 3, [LESION] * 3, threshold=0.5)
    assert silent.at(FROC_FPS).tolist() == [0] * 7
    assert silent.threshold_at(1) == float("inf")
    healthy = froc([[[0, 0, 1, 1, 0.5]]], [NONE], threshold=0.5)
    assert healthy.fp.tolist() == [1] and np.isnan(healthy.at(1))


def test_centre_rules():
    box = [[4, 4, 10, 10]]
    inside, reach = [[9, 9, 11, 11, 0.5]], [[9, 6, 11, 8, 0.5]]
    assert froc([inside], [box], threshold=0.5, overlap="centre").at(0) == 1
    # Centre (10, 10) is 4.24 from (7, 7), more than 3; centre (10, 7) is exactly 3 away.
    assert froc([inside], [box], threshold=0.5, overlap="radius").at(0) == 0
    assert froc([reach], [box], threshold=0.5, overlap="radius").at(0) == 1


def test_vertices_keep_the_shape():
    predictions, gt = random_case(np.random.default_rng(5), 30)
    curve = froc(predictions, gt, threshold=0.3)
    keep = curve.vertices()
    assert len(keep) < len(curve.fp)
    grid = np.linspace(0, curve.fp[-1], 301)
    thin = np.interp(grid, curve.fp[keep], curve.sensitivity[keep], left=0)
    assert np.abs(thin - curve.at(grid)).max() < 1e-12


@pytest.mark.parametrize(
    ("predictions", "gt", "message"),
    [
        ([NONE], [NONE, NONE], "same images"),
        ([[[0, 0, 1, 1]]], [NONE], r"predictions\[0\].*\(n, 5\)"),
        ([NONE, [[0, 0, 1, float("nan"), 0.5]]], [NONE, NONE], r"predictions\[1\].*finite"),
        ([NONE], [[[5, 0, 1, 1]]], r"ground_truth\[0\].*corners"),
        ([[FINE], [FINE, [0, 0, 1, 1, np.inf]], [FINE]], [NONE] * 3, r"predictions\[1\].*inf"),
        ([[FINE], NONE, [FINE, [0, 5, 1, 1, 0.5]]], [NONE] * 3, r"predictions\[2\].*0.0, 5.0"),
        ([NONE, NONE], [[FINE[:4]], [FINE]], r"ground_truth\[1\].*\(n, 4\)"),
    ],
)
def test_bad_input_is_named(predictions, gt, message):
    with pytest.raises(ValueError, match=f"^{message}|^Expected .*{message}"):
        froc(predictions, gt, threshold=0.5)


@pytest.mark.parametrize(
    "options",
    [
        {"threshold": 0},
        {"threshold": 0.5, "overlap": "dice"},
        {"threshold": 0.5, "duplicates": "tp"},
        {"threshold": 0.5, "assignment": "best"},
        {"threshold": 0.5, "dims": 4},
    ],
)
def test_bad_options_are_named(options):
    with pytest.raises(ValueError, match="Expected"):
        froc([NONE], [NONE], **options)


@pytest.mark.parametrize("module", [froc_module, matching, protocols])
def test_worked_examples(module):
    result = doctest.testmod(module)
    assert result.attempted > 0 and result.failed == 0


def test_between_and_before_the_points_of_a_curve():
    """Both images have a find and a false positive of one score: the curve starts at (1, 0.5)."""
    rows = [[0, 0, 10, 10, 0.9], [50, 50, 60, 60, 0.9]]
    later = [[50, 50, 60, 60, 0.5], [0, 0, 10, 10, 0.4]]
    curve = froc([rows, later], [LESION, LESION], threshold=0.5)
    assert curve.fp.tolist() == [0.5, 1, 1] and curve.sensitivity.tolist() == [0.5, 0.5, 1]
    assert curve.at([0, 0.49, 0.5, 0.75, 1, 9]).tolist() == [0, 0, 0.5, 0.5, 1, 1]
    step = curve.at([0, 0.49, 0.5, 0.75, 1, 9], "step").tolist()
    assert step == [0, 0, 0.5, 0.5, 1, 1]
    with pytest.raises(ValueError, match="linear, step but got 'cubic'"):
        curve.at(1, "cubic")


@pytest.mark.parametrize(
    ("hits", "kept"),
    [("", []), ("1", [0]), ("10", [0, 1]), ("100", [0, 2]), ("110001", [0, 1, 4, 5])],
)
def test_vertices_by_hand(hits, kept):
    """One prediction per letter, by falling score: 1 finds a lesion, 0 is a false positive."""
    boxes = [[100 * i, 0, 100 * i + 10, 10] for i in range(len(hits))]
    lesions = [box for box, hit in zip(boxes, hits, strict=True) if hit == "1"] or LESION
    given = [[*box, 1 - i / 10] for i, box in enumerate(boxes)]
    assert froc([given], [lesions], threshold=0.5).vertices().tolist() == kept


def test_whole_numbers_are_taken_as_numbers():
    """Unsigned arrays would wrap around where a score is negated or a box subtracted."""
    given = [np.array([[0, 0, 10, 10, 0], [50, 50, 60, 60, 200]], np.uint8)]
    curve = froc(given, [np.array(LESION, np.uint8)], threshold=0.5)
    assert curve.score.tolist() == [200, 0]
    assert curve.fp.tolist() == [1, 1] and curve.sensitivity.tolist() == [0, 1]


def test_predictions_are_parted_into_boxes_and_scores():
    boxes, scores, image = flatten_predictions([[FINE], NONE, [FINE, FINE]], 2)
    assert boxes.tolist() == [FINE[:4]] * 3
    assert scores.tolist() == [0.5] * 3 and image.tolist() == [0, 2, 2]


def test_a_preset_hands_on_all_its_rules():
    cube = [0, 0, 0, 10, 10, 10]
    again = [[*cube, 0.9], [*cube, 0.8], [50, 0, 0, 60, 10, 10, 0.7]]
    strict = Protocol(
        "strict", (), (Criterion("iou", 0.5), Criterion("iobb", 0.9)), duplicates="fp"
    )
    curves = froc_by_protocol([again], [[cube]], strict, dims=3)
    assert [c.overlap for c in curves] == ["iou", "iobb"]
    assert all(curve.fp.tolist() == [0, 1, 2] for curve in curves.values())
    # 5 of 10 columns: IoU 1/2; with the last voxels inside 6 of 11, IoU 6/11.
    half = [[0, 0, 0, 5, 10, 10, 0.9]]
    close = Protocol("close", (), (Criterion("iou", 0.52),))
    (curve,) = froc_by_protocol([half], [[cube]], close, dims=3).values()
    assert curve.sensitivity.tolist() == [0]
    (curve,) = froc_by_protocol([half], [[cube]], close, dims=3, inclusive=True).values()
    assert curve.sensitivity.tolist() == [1]


def test_findings_to_ignore_by_hand():
    # Radius 5 around (0, 0, 0), and around (50, 0, 0) to ignore. Predictions: on the lesion, 4 mm
    # from the finding to ignore, and 6 mm from it.
    lesion, ignored = [[-5.0] * 3 + [5.0] * 3], [[45, -5, -5, 55, 5, 5]]
    points = [[0, 0, 0, 0, 0, 0, 0.9], [54, 0, 0, 54, 0, 0, 0.8], [56, 0, 0, 56, 0, 0, 0.7]]
    (curve,) = froc_by_protocol([points], [lesion], "luna", dims=3).values()
    assert curve.fp.tolist() == [0, 1, 2]
    (curve,) = froc_by_protocol([points], [lesion], "luna", dims=3, ignore=[ignored]).values()
    assert curve.fp.tolist() == [0, 0, 1] and curve.sensitivity.tolist() == [1, 1, 1]
    # On a lesion and on a finding to ignore: the lesion is found.
    (curve,) = froc_by_protocol([points], [lesion], "luna", dims=3, ignore=[lesion]).values()
    assert curve.fp.tolist() == [0, 1, 2] and curve.sensitivity.tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match=r"findings to ignore of the same images .* 0 and 1"):
        froc_by_protocol([points], [lesion], "luna", dims=3, ignore=[])
    with pytest.raises(ValueError, match=r"^ignore\[0\]: Expected an array"):
        froc_by_protocol([points], [lesion], "luna", dims=3, ignore=[[[1, 2, 3]]])


def test_regions_to_ignore_end_where_boxes_do():
    # Half of the box's 10 columns lie in the region if both ends count, else 4 of 9.
    given = dict(predictions=[[[0, 0, 9, 9, 0.9]]], ground_truth=[[[50, 50, 60, 60]]])
    given |= dict(ignore=[[[0, 0, 4, 9]]], threshold=0.5)
    assert froc(**given, inclusive=True).fp.tolist() == [0.0]
    assert froc(**given).fp.tolist() == [1.0]


def test_ignored_boxes_count_by_their_share():
    # 6 of 10 columns inside the region.
    found, region = [[0, 0, 10, 10, 0.9]], [[4, 0, 30, 10]]
    common = dict(predictions=[found], ground_truth=[[[50, 50, 60, 60]]], ignore=[region])
    assert froc(**common, threshold=0.6).fp.tolist() == [0]
    assert froc(**common, threshold=0.61).fp.tolist() == [1]


def test_published_detections_on_luna16(shared_data):
    folder = shared_data / "luna16"
    scans = (folder / "newseriesuids.csv").read_text().split()
    place = {int(scan): number for number, scan in enumerate(scans)}

    def rows_of(name):
        found = [[] for _ in scans]
        for line in (folder / name).read_text().splitlines()[1:]:
            scan, *numbers = line.replace(",", " ").split()
            found[place[int(scan)]].append([float(number) for number in numbers])
        return [np.reshape(rows, (-1, 4)) for rows in found]

    def spheres(rows):
        # As in the challenge, a finding without a diameter has one of 10 mm.
        radius = np.where(rows[:, 3:] < 0, 10, rows[:, 3:]) / 2
        return np.hstack([rows[:, :3] - radius, rows[:, :3] + radius])

    found = [np.hstack([rows[:, :3], rows]) for rows in rows_of("dpn26bs32.csv")]
    nodules = [spheres(rows) for rows in rows_of("newannotations.csv")]
    ignore = [spheres(rows) for rows in rows_of("newannotations_excluded.csv")]
    (curve,) = froc_by_protocol(found, nodules, "luna", dims=3, ignore=ignore).values()
    published = [0.692, 0.769, 0.824, 0.865, 0.893, 0.917, 0.933]
    assert curve.at(FROC_FPS).round(3).tolist() == published
    assert round(curve.mean(), 3) == 0.842 and curve.n_lesions == 1186 and curve.n_images == 888
    (curve,) = froc_by_protocol(found, nodules, "luna", dims=3).values()
    assert round(curve.mean(), 3) == 0.742
