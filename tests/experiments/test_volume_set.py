"""The 3D volume test set: complete, tested by one setting, and apart from training."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

from data_prep import prepare
from data_prep.errors import DataError
from mmglan.commands import run_table
from mmglan.experiments.volume_set import check_volume_set, volume_settings

# Slices of each node, by volume: 39 + 22 slices, 49 + 31 cross-sections.
NODES = [[(0, 30), (20, 39)], [(0, 22), (13, 22)]]


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """Nodes that begin and end with a cross-section of one pixel."""
    root = tmp_path_factory.mktemp("volumes")
    for number, nodes in enumerate(NODES):
        labels = np.zeros((40, 32, 48), np.uint8)
        for label, (first, end) in enumerate(nodes, start=1):
            for z in range(first, end):
                half = min(z - first, end - 1 - z, 4)
                x = 12 + 20 * (label - 1)
                labels[z, 12 - half : 13 + half, x - half : x + 1 + half] = label
        rng = np.random.default_rng(number)
        image = rng.normal(100, 10, labels.shape) + 100 * (labels > 0)
        for array, name in ((image.astype(np.int16), "VOLUMES/{}"), (labels, "MASKS/{}")):
            path = root / name.format(f"case{number}.nii.gz")
            path.parent.mkdir(exist_ok=True)
            sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    call = ["--images", root / "VOLUMES", "--bookmarks", root / "MASKS", "--masks", root / "MASKS"]
    call += ["--split", "0,0,1", "--whole-volumes", "--out-dir", root / "data", "--overlays", 0]
    assert prepare.main([*map(str, call), "--quiet"]) == 0
    return root / "data"


def test_every_slice_and_cross_section_of_each_node_is_tested(volumes):
    truth = json.loads((volumes / "annotations/test_truth.json").read_text())
    assert len(truth["images"]) == 61 and len(truth["annotations"]) == 80
    areas = [a["area"] for a in truth["annotations"]]
    assert min(areas) == 1 and max(areas) == 81


def test_slices_of_training_are_found(volumes, tmp_path):
    annotations = tmp_path / "annotations"
    annotations.mkdir()
    (tmp_path / "images").symlink_to(volumes / "images")
    empty = {"images": [], "annotations": [], "categories": []}
    (annotations / "val.json").write_text(json.dumps(empty))
    (annotations / "train.json").write_text(json.dumps(empty))
    check_volume_set(volumes, [tmp_path])
    (annotations / "val.json").write_bytes((volumes / "annotations/test.json").read_bytes())
    with pytest.raises(DataError, match=r"v0001_\d+.png of val. Leave its patient out"):
        check_volume_set(volumes, [tmp_path])


def test_one_setting_tests_ours_and_every_baseline(volumes, tmp_path, monkeypatch):
    started = []

    def run(command, log, environment):
        started.append(command)
        log.parent.mkdir(parents=True, exist_ok=True)
        (log.parent / "results.metrics.json").write_text("{}")

    monkeypatch.setattr(run_table, "run_command", run)
    monkeypatch.setattr(run_table, "checkpoint_of", lambda run_dir: run_dir / "best_x.pth")
    monkeypatch.setattr(run_table, "check_volume_set", lambda volumes, training: None)
    stems = run_table.stems_of(1)
    for stem in stems:
        (tmp_path / stem).mkdir()
    call = ["--table", "1", "--work-dir", str(tmp_path), "--no-collect"]
    call += ["--volumes-root", str(volumes)]
    assert run_table.main(call) == 0
    tests = [c for c in started if "--cfg-options" in c]
    for command, stem in zip(tests, stems, strict=True):
        assert command[command.index("--work-dir") + 1] == str(tmp_path / "volumes" / stem)
        assert command[command.index("--cfg-options") + 1 :] == volume_settings(str(volumes))
    started.clear()
    assert run_table.main(call) == 0 and not started
