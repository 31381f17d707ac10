"""`mmglan infer MODEL.zip`: operating points, probabilities, what the model is for, ensembles."""

import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scan_storages import BrightSpots, spots, store
from tiny_models import make_tiny_model, tiny_record

import mmglan
from mmglan.commands.infer import main, parse_args
from mmglan.detections.findings import Findings
from mmglan.inference.expected_input import ExpectedInput
from mmglan.inference.model_file import write_model_file
from mmglan.inference.operating_point import choose_threshold


@pytest.fixture(scope="module")
def zips(tiny_model, repository, tmp_path_factory):
    """Two model files of the tiny detector with other weights."""
    folder = tmp_path_factory.mktemp("zips")
    other = make_tiny_model(repository, folder, seed=1)
    for name, (config, checkpoint) in (("a", tiny_model), ("b", other)):
        page = {"card.html": b""}
        weights = torch.load(checkpoint, weights_only=True)
        write_model_file(folder / f"{name}.zip", tiny_record(config), weights, page)
    return folder / "a.zip", folder / "b.zip"


@pytest.fixture
def scan(tmp_path):
    return store(spots(), "axial", tmp_path / "in")


def run(words, out, *more):
    given = [*map(str, words), "--out-dir", str(out), "--formats", "csv", "--quiet", *more]
    status = main(given)
    path = out / "v0001/findings.json"
    return status, Findings.from_json(json.loads(path.read_text())) if path.exists() else None


def test_a_model_file_gives_the_findings_of_its_config(zips, tiny_model, scan, tmp_path):
    status, found = run([zips[0], scan], tmp_path / "a", "--fp-per-volume", "2")
    assert status == 0 and found.threshold == 0.4 and not found.warnings
    options = ["--threshold", "0.4", "--normalize", "image"]
    _, same = run([*tiny_model, scan], tmp_path / "b", *options)
    assert [lesion.score for lesion in found.lesions] == [lesion.score for lesion in same.lesions]
    assert found.lesions and found.model["hash"] != same.model["hash"]
    for lesion in found.lesions:
        assert lesion.probability == pytest.approx(lesion.score / 2, abs=1e-6)
    assert "probability" in (tmp_path / "a/v0001/findings.csv").read_text()
    api = mmglan.VolumeDetector(zips[0], fp_per_volume=2).detect(scan)
    assert api == found
    short = sorted(lesion.recist.short_axis_mm for lesion in found.lesions if lesion.recist)
    if short:
        _, large = run([zips[0], scan], tmp_path / "c", "--min-short-axis", str(short[-1] + 1))
        assert all(lesion.recist is None for lesion in large.lesions)


def test_a_scan_that_it_is_not_for(zips, tmp_path, capsys):
    image = sitk.Image(spots())
    image.SetSpacing((0.8, 1.1, 7.0))
    scan = store(image, "nifti", tmp_path / "in")
    status, found = run([zips[0], scan], tmp_path / "out")
    said = "spacing along z is 7 mm, but the model was trained on 2 to 3 mm"
    assert status == 0 and found.warnings == (f"Not what the model is for: {said}.",)
    assert f"warning: v0001: Not what the model is for: {said}" in capsys.readouterr().err
    assert said in (tmp_path / "out/v0001/findings.csv").read_text()
    status, found = run([zips[0], scan], tmp_path / "strict", "--strict")
    assert status == 1 and found is None
    assert said in capsys.readouterr().err


def test_modality_words_and_intensity(tmp_path):
    path = store(spots(), "axial", tmp_path)
    volume, header = mmglan_volume(path)
    wide = dict(spacing_mm=((0.1, 9),) * 3, size=((1, 99),) * 3)
    assert ExpectedInput(**wide, modality=("MR",)).departures(volume, header) == ()
    header.SeriesDescription = "T2 TSE tra"
    assert ExpectedInput(**wide, words=("tse", "x")).departures(volume, header) == ()
    found = ExpectedInput(**wide, modality=("CT",), words=("flair",), intensity=(1, 2))
    lines = found.departures(volume, header)
    assert [line.split(",")[0] for line in lines] == [
        "99th percentile is 900",
        "modality MR",
        "series description without any word of the training set's: flair",
    ]
    assert len(found.departures(volume)) == 1


def mmglan_volume(path):
    from data_prep.volumes.dicom.source import read_source_slices
    from data_prep.volumes.volume import read_volume

    volume = read_volume(path)
    return volume, read_source_slices(path, volume)[0].header


@pytest.mark.parametrize(
    "options, says",
    [
        (["--threshold", "0.5", "--fp-per-volume", "1"], "but got both"),
        (["--threshold", "0.01"], "at least 0.05"),
        (["--fp-per-volume", "0.1"], "highest score gives more"),
        (["--normalize", "volume"], "image, but got volume"),
        (["--tta", "flip", "--fp-per-volume", "1"], "--use --threshold"),
        (["--device", "cuda:7"], "of this machine but got cuda:7"),
    ],
)
def test_options_that_do_not_go_together(zips, scan, tmp_path, capsys, options, says):
    assert run([zips[0], scan], tmp_path / "out", *options)[0] == 2
    assert says.removeprefix("--use ") in capsys.readouterr().err


def test_an_ensemble_with_mirrored_slices(zips, scan, tmp_path, capsys):
    status, found = run([*zips, scan], tmp_path / "out", "--tta", "flip", "--threshold", "0.2")
    assert status == 0 and found.model["name"] == "tiny + tiny" and len(found.model["parts"]) == 2
    assert all(lesion.probability is None for lesion in found.lesions)
    assert run([*zips, scan], tmp_path / "b", "--fp-per-volume", "2")[0] == 2
    assert "one model file with --fp-per-volume" in capsys.readouterr().err


def test_bfloat16_finds_the_same(zips, scan, tmp_path):
    _, exact = run([zips[0], scan], tmp_path / "a")
    _, rough = run([zips[0], scan], tmp_path / "b", "--amp")
    scores = [np.array([lesion.score for lesion in f.lesions]) for f in (exact, rough)]
    assert np.abs(scores[0][:3] - scores[1][:3]).max() < 0.05


def test_thresholds(tiny_model):
    record = tiny_record(tiny_model[0])
    assert choose_threshold(record).threshold == 0.4
    assert choose_threshold(record, fp_per_volume=1).threshold == 0.6
    assert choose_threshold(None).threshold == 0.3
    other = choose_threshold(record, 0.5, tta="flip")
    assert other.calibration is None and "Not calibrated" in other.remarks[0]
    flipped = replace(record, tta="flip")
    assert choose_threshold(flipped, fp_per_volume=8, tta="flip").calibration is not None


def test_the_words_of_the_command(zips, tmp_path):
    (tmp_path / "scans.zip").write_bytes(b"PK an archive of scans")
    words = [*map(str, zips), str(tmp_path / "scans.zip"), "y"]
    args = parse_args([*words, "--out-dir", "o"])
    assert args.models == words[:2] and [str(p) for p in args.inputs] == words[2:]
    args = parse_args(["c.py", "w.pth", "x", "--out-dir", "o"])
    assert args.models == ["c.py"] and args.checkpoint == "w.pth"
    for words in (["a.zip"], ["c.py", "w.pth"], ["c.py"]):
        with pytest.raises(SystemExit):
            parse_args([*words, "--out-dir", "o"])


def test_the_class_of_the_api_is_loaded_late():
    assert "VolumeDetector" in dir(mmglan)
    assert mmglan.VolumeDetector.of(BrightSpots()).threshold == 0.3
