"""No value in a JSON file of a received folder gives a traceback or ends the process."""

import json
import random

import pytest
from coco_sets import make_set
from fuzzing import damaged

from data_prep import verify
from data_prep.dataset import checks
from mmglan.detections.coco_files import read_ground_truth, read_json
from mmglan.detections.coco_results import group_results, read_results
from mmglan.detections.volume_files import read_volumes
from mmglan.evaluation.detection_sets.load_results import load_detection_sets, read_test_set
from mmglan.evaluation.detection_status import status_of_images
from mmglan.evaluation.evaluate import evaluate_detections
from mmglan.evaluation.evaluation_record import read_evaluation
from mmglan.evaluation.protocols import PROTOCOLS
from mmglan.evaluation.text_table import format_evaluation
from mmglan.reporting.html_report import build_report
from mmglan.reporting.provenance import provenance_rows, read_run_info
from mmglan.reporting.scalars import read_scalars

PROTOCOL = PROTOCOLS["deeplesion"]
GT, BOXES, MASKS = make_set(1, n_images=6, per_patient=2)
VOLUMES = {
    "volumes": [
        {
            "volume_id": f"v000{i}",
            "patient_id": "p",
            "shape_zyx": [2, 96, 96],
            "spacing_mm": [1, 1, 1],
        }
        for i in range(3)
    ],
    "lesions": [
        {
            "id": 1,
            "volume_id": "v0000",
            "box3d": [1, 2, 0, 9, 9, 1],
            "short_axis_mm": 5.0,
            "recist": [0] * 8,
        }
    ],
}
SOUND = read_ground_truth(GT)
STATUS = status_of_images(SOUND, group_results(BOXES, SOUND), None, PROTOCOL)
SCALARS = [{"iter": i, "step": i, "loss": 1.0, "sigma/cls": 0.5, "time": 0.1} for i in (1, 2)]
INFO = {
    "git": {"commit": "0" * 40, "changed_files": ["a.py"]},
    "environment": {"packages": {"torch": "2"}, "gpu": "x", "python": "3"},
    "dataset_sha256": "0" * 64,
    "seed": 0,
}


def read_whole_results(path):
    return read_results(path, SOUND)


def _write(path, content):
    path.write_text(json.dumps(content))  # NaN and lone surrogates pass
    return path


def _evaluated(gt, results, folder):
    """Evaluate as the command does, without intervals."""
    files = [_write(folder / "results.bbox.json", results)]
    test_set = read_test_set(_write(folder / "gt.json", gt))
    sets = load_detection_sets(test_set, files, PROTOCOL)
    return evaluate_detections(sets, PROTOCOL, bootstrap=0)


def fuzz_gt(seed, folder):
    format_evaluation(_evaluated(damaged(GT, seed), BOXES[:9] if seed % 2 else MASKS[:9], folder))


def fuzz_results(seed, folder):
    rows = BOXES if seed % 2 else MASKS
    format_evaluation(_evaluated(GT, damaged(rows[:6], seed), folder))


def fuzz_verify(seed, folder):
    name = random.Random(seed).choice(["test.json", "volumes_test.json"])
    for file, content in (("test.json", GT), ("volumes_test.json", VOLUMES)):
        (folder / "annotations").mkdir(exist_ok=True)
        hurt = damaged(content, seed) if file == name else content
        _write(folder / "annotations" / file, hurt)
    report, sets = verify.verify(folder, progress=False)
    verify.as_markdown(report)
    verify.draw_sheet(folder, sets)


def fuzz_volumes(seed, folder):
    read_volumes(_write(folder / "volumes.json", damaged(VOLUMES, seed)))


def fuzz_metrics(seed, folder):
    if not (folder / "sound.json").exists():
        _write(folder / "sound.json", _evaluated(GT, BOXES, folder).to_json())
    sound = json.loads((folder / "sound.json").read_text())
    evaluation = read_evaluation(_write(folder / "m.json", damaged(sound, seed)))
    format_evaluation(evaluation)
    if seed % 10 == 0:
        build_report(evaluation, STATUS, folder, title="x", max_slices=0)


def fuzz_scalars(seed, folder):
    lines = damaged(SCALARS, seed)
    lines = lines if isinstance(lines, list) else [lines]
    path = folder / "scalars.json"
    path.write_text("\n".join(json.dumps(line) for line in lines) + '\n{"iter": 1')
    read_scalars([path])


def fuzz_run_info(seed, folder):
    _write(folder / "run_info.json", damaged(INFO, seed))
    provenance_rows(read_run_info(folder))


FUZZED = [fuzz_gt, fuzz_results, fuzz_verify, fuzz_volumes, fuzz_metrics, fuzz_scalars]
FUZZED += [fuzz_run_info]


def _tolerates(fuzz, seeds, folder):
    refused = 0
    for seed in seeds:
        try:
            fuzz(seed, folder)
        except (ValueError, OSError) as error:
            assert str(error), seed
            refused += 1
        except Exception as error:
            raise AssertionError(f"{fuzz.__name__}, seed {seed}: {error!r}") from error
    return refused


@pytest.mark.parametrize("fuzz", FUZZED, ids=lambda fuzz: fuzz.__name__)
def test_no_value_gives_a_traceback(fuzz, tmp_path):
    assert _tolerates(fuzz, range(60), tmp_path) < 60


@pytest.mark.slow
@pytest.mark.parametrize("fuzz", FUZZED, ids=lambda fuzz: fuzz.__name__)
def test_no_value_of_many_gives_a_traceback(fuzz, tmp_path):
    _tolerates(fuzz, range(1000, 3500), tmp_path)


@pytest.mark.parametrize("read", [read_json, read_evaluation, checks.load, read_whole_results])
def test_deep_nesting_is_an_error(read, tmp_path):
    path = tmp_path / "deep.json"
    path.write_text("[" * 200_000)
    with pytest.raises(ValueError, match=r"Expected|recursion"):
        read(path)
