"""From a run to a model file and back: what is measured, written, and read again."""

import json
import shutil
import zipfile

import cv2
import msgspec
import numpy as np
import pytest
import SimpleITK as sitk
from scan_storages import BrightSpots, spots

from mmglan.commands import package
from mmglan.evaluation.protocols import get_protocol
from mmglan.inference.model_file import read_model_file
from mmglan.packaging import package_run as packaging
from mmglan.packaging.package_run import PackageOptions, calibrate
from mmglan.packaging.validation_set import ValidationResult, read_prepared_volumes, validate


@pytest.fixture
def data(tmp_path):
    """Two volumes of two bright lesions each as `prepare` writes them; gt of the first only one."""
    array = sitk.GetArrayFromImage(spots()).astype(np.uint16)
    found = list(BrightSpots().detect(array))
    boxes = {1: [7, 6, 2, 11, 10, 6], 2: [19, 13, 7, 23, 21, 9]}
    volumes, images, lesions = [], [], []
    for number in (1, 2):
        name = f"v000{number}"
        volumes.append(
            {
                "volume_id": name,
                "patient_id": f"p{number}",
                "shape_zyx": list(array.shape),
                "spacing_mm": [0.8, 1.1, 2.5],
            }
        )
        for key in (1, 2) if number == 1 else (1,):
            lesions.append({"id": len(lesions), "volume_id": name, "box3d": boxes[key]})
        for z, image in enumerate(array):
            path = tmp_path / f"images/{name}/{z:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), image)
            images.append(
                {
                    "id": len(images),
                    "file_name": f"{name}/{z:04d}.png",
                    "volume_id": name,
                    "patient_id": f"p{number}",
                    "slice_index": z,
                    "height": array.shape[1],
                    "width": array.shape[2],
                }
            )
    folder = tmp_path / "annotations"
    folder.mkdir()
    coco = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "lesion"}]}
    for split in ("val", "test"):
        (folder / f"{split}_whole.json").write_text(json.dumps(coco))
    for split in ("val", "train", "test"):
        content = {"volumes": volumes, "lesions": lesions}
        (folder / f"volumes_{split}.json").write_text(json.dumps(content))
    report = {"options": {"normalize": "volume"}}
    (tmp_path / "report.json").write_text(json.dumps(report))
    assert len(found) == 12
    return tmp_path


def test_the_validation_set_is_detected_and_matched(data):
    volumes = read_prepared_volumes(data / "annotations", data / "images")
    found = validate(BrightSpots(), volumes, get_protocol("deeplesion"))
    assert found.detections.n_lesions == 3 and len(found.scores) == 4
    assert sorted(found.is_lesion.tolist()) == [False, True, True, True]
    assert found.curve.sensitivity[-1] == 1 and found.curve.fp[-1] == 0.5
    assert found.patient[~found.is_lesion].tolist() == [1]


def test_missing_slices_are_refused(data):
    path = data / "annotations/val_whole.json"
    content = json.loads(path.read_text())
    content["images"].pop(3)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="all 12 slices of volume v0001 but got 11"):
        read_prepared_volumes(data / "annotations", data / "images")
    path.unlink()
    with pytest.raises(ValueError, match="--whole-volumes"):
        read_prepared_volumes(data / "annotations", data / "images")


def overconfident(n=400):
    """Detections of 40 patients, of which half as many are lesions as the scores say."""
    random = np.random.default_rng(0)
    scores = random.uniform(0.05, 1, n)
    lesion = random.uniform(size=n) < scores / 2
    return ValidationResult(None, None, None, scores, lesion, np.arange(n) % 40)


@pytest.mark.parametrize("method", ["isotonic", "platt", "auto"])
def test_calibration_lowers_the_error_of_held_out_patients(method):
    chosen, panels = calibrate(overconfident(), PackageOptions(calibration=method, bootstrap=100))
    assert chosen == method or method == "auto"
    assert panels["before"].error > 0.2 and panels["after"].error < 0.08
    assert panels["before"].interval.low > panels["after"].interval.high


def test_too_few_detections_are_not_calibrated():
    assert calibrate(overconfident(8), PackageOptions(bootstrap=0)) == (None, {})
    assert calibrate(overconfident(), PackageOptions(calibration="none")) == (None, {})


def test_the_file_of_a_run(data, tiny_model, tmp_path, monkeypatch, capsys):
    config, checkpoint = tiny_model
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(config, run)
    monkeypatch.setattr(packaging, "fused_slices", lambda *_, **__: BrightSpots())
    monkeypatch.setattr(packaging, "calibrate", lambda *_: calibrate(*overconfident_run()))
    monkeypatch.setattr(packaging, "LEAST_PATIENTS", 1)
    words = [str(run), "--out", str(tmp_path / "m.zip"), "--checkpoint", checkpoint, "--quiet"]
    words += ["--annotations", str(data / "annotations"), "--images", str(data / "images")]
    assert package.main([*words, "--bootstrap", "20", "--test"]) == 0
    assert "expected calibration error, before" in capsys.readouterr().out
    found = read_model_file(tmp_path / "m.zip")
    record = found.record
    assert record.name == "tiny" and record.normalize == "volume" and record.tta is None
    assert record.froc.threshold_at(0.5) <= 1 and record.froc.fp[-1] == 0.5
    assert record.expected.spacing_mm == ((0.8, 0.8), (1.1, 1.1), (2.5, 2.5))
    assert record.expected.size == ((30, 30), (26, 26), (12, 12))
    assert record.calibration is not None and record.versions["mmglan"]
    assert any(row["low"] is not None for row in record.metrics)
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        card = archive.read("card.html").decode()
    assert "data:image/png;base64,iVBOR" in card and "0.8 mm" in card
    assert list(record.reliability) == ["after", "before", "test set, after", "test set, before"]
    once = (tmp_path / "m.zip").read_bytes()
    assert package.main([*words, "--bootstrap", "20", "--test"]) == 0
    assert (tmp_path / "m.zip").read_bytes() == once
    assert str(tmp_path) not in json.dumps(msgspec.to_builtins(record))


def overconfident_run():
    return overconfident(), PackageOptions(bootstrap=10)


def test_bad_usage(tmp_path, capsys):
    assert package.main([str(tmp_path / "none"), "--out", "m.zip"]) == 2
    assert package.main([str(tmp_path), "--out", "m.zip"]) == 2
    assert "with one config, but got 0" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        package.parse_args([str(tmp_path), "--out", "m.pth"])
