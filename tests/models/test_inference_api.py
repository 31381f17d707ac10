"""MMDetection's own inference API on configs and checkpoints of the zoo."""

import cv2
import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer, inference_detector, init_detector
from mmdet.structures import DetDataSample

OURS = "glan_r50_fpn_160e_lesions"


@pytest.fixture(scope="module")
def trained(tmp_path_factory, zoo_config, build):
    """A config file, a checkpoint as a runner writes it, the model, and a 16-bit slice."""
    folder = tmp_path_factory.mktemp("trained")
    config = zoo_config(OURS)
    model = build(config.model, seed=3).eval()
    checkpoint = dict(
        state_dict=model.state_dict(), meta=dict(dataset_meta=dict(classes=("lesion",)))
    )
    torch.save(checkpoint, folder / "weights.pth")
    config.dump(folder / "config.py")
    pixels = np.random.default_rng(0).integers(0, 65536, (50, 60), dtype=np.uint16)
    cv2.imwrite(str(folder / "0001.png"), pixels)
    return folder, model, pixels


def expected_scores(model, pixels):
    """Scores by hand: the slice scaled to 64 pixels as the test pipeline does."""
    grey = pixels.astype(np.float32) * np.float32(255 / 65535)
    resized = cv2.resize(grey, (64, 53), interpolation=cv2.INTER_LINEAR)
    sample = DetDataSample(
        metainfo=dict(
            img_shape=(53, 64), ori_shape=(50, 60), scale_factor=(64 / 60, 53 / 50), img_id=0
        )
    )
    image = torch.from_numpy(np.repeat(resized[None], 3, axis=0))
    with torch.no_grad():
        result = model.test_step(dict(inputs=[image], data_samples=[sample]))[0]
    return result.pred_instances.scores


@pytest.mark.parametrize("as_array", [False, True], ids=["file", "array"])
def test_init_detector_and_inference_detector(as_array, trained):
    folder, model, pixels = trained
    loaded = init_detector(str(folder / "config.py"), str(folder / "weights.pth"), device="cpu")
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
    assert loaded.dataset_meta["classes"] == ("lesion",)
    result = inference_detector(loaded, pixels if as_array else str(folder / "0001.png"))
    scores = result.pred_instances.scores
    assert len(scores) > 0
    torch.testing.assert_close(scores, expected_scores(model, pixels))


def test_det_inferencer(trained, tmp_path):
    folder, model, pixels = trained
    inferencer = DetInferencer(
        model=str(folder / "config.py"),
        weights=str(folder / "weights.pth"),
        device="cpu",
        show_progress=False,
    )
    output = inferencer(str(folder / "0001.png"), out_dir=str(tmp_path), no_save_pred=False)
    scores = output["predictions"][0]["scores"]
    torch.testing.assert_close(torch.tensor(scores), expected_scores(model, pixels))
    assert (tmp_path / "vis/0001.png").exists() and (tmp_path / "preds/0001.json").exists()
    floats = (pixels / 65535).astype(np.float32)
    for values, words in ((floats, r"value_range=\(0, 1\)"), (pixels // 16, r"\(0, 4095\)")):
        with pytest.raises(ValueError, match=words):
            inferencer(values)
