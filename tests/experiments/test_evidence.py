"""Pooled folds, the plan, and the backbone's weights."""

import json

import pytest
import torch
from mmdet.models.backbones import MobileNetV2

from mmglan.engine.mobilenet_weights import renamed
from mmglan.experiments import evidence
from mmglan.shipped_files import shipped_configs


def test_every_row_and_pair_is_a_config():
    from mmglan.commands.evidence import PAIRS

    named = {row for scale in evidence.SCALES.values() for row in scale.rows}
    assert named | {row for pair in PAIRS for row in pair} <= set(shipped_configs())
    cpu = {stem for stem, path in shipped_configs().items() if path.parent.name == "cpu"}
    assert named == cpu
    assert {*evidence.ROWS} == {stem for stem in cpu if stem.endswith("_lgg-key")}


def test_pool(tmp_path):
    for fold in (0, 1, 2):
        folder = tmp_path / f"data/annotations/fold{fold}"
        folder.mkdir(parents=True)
        images = [{"id": fold}]
        (folder / "test_whole.json").write_text(
            json.dumps({"categories": [{"id": 1}], "images": images, "annotations": []})
        )
        (folder / "volumes_test.json").write_text(
            json.dumps({"volumes": [{"volume_id": f"v{fold}"}], "lesions": []})
        )
        run = evidence.run_folder(tmp_path, fold, 0)
        run.mkdir(parents=True)
        (run / "results.bbox.json").write_text(json.dumps([{"image_id": fold}]))
    evidence.pool_ground_truth(tmp_path / "data", (0, 2), tmp_path / "out")
    pooled = json.loads((tmp_path / "out/test_whole.json").read_bytes())
    assert pooled["images"] == [{"id": 0}, {"id": 2}] and pooled["categories"] == [{"id": 1}]
    volumes = json.loads((tmp_path / "out/volumes_test.json").read_bytes())["volumes"]
    assert [volume["volume_id"] for volume in volumes] == ["v0", "v2"]
    runs = [evidence.run_folder(tmp_path, fold, 0) for fold in (0, 2)]
    evidence.pool_results(runs, tmp_path / "out/row.json")
    assert json.loads((tmp_path / "out/row.json").read_bytes()) == [
        {"image_id": 0},
        {"image_id": 2},
    ]


def test_weights_take_their_place_by_order():
    wanted = MobileNetV2(out_indices=(7,)).state_dict()
    # As torchvision names them, with a classifier behind.
    source = {
        f"features.{i}.{key.rsplit('.', 1)[1]}": t for i, (key, t) in enumerate(wanted.items())
    }
    result = renamed({**source, "classifier.weight": torch.zeros(3, 3)})
    assert list(result) == list(wanted)
    assert all(torch.equal(result[key], wanted[key]) for key in wanted)
    with pytest.raises(ValueError, match=r"Expected a tensor of .* but got features.0.weight"):
        renamed({"features.0.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match="but got nothing"):
        renamed({})
