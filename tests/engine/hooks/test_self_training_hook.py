"""Self-training with real runners; the model finds what is bright, so that its answer is known."""

import json
from itertools import chain, count

import cv2
import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.structures import InstanceData

from mmglan.engine import LesionRunner
from mmglan.engine.hooks.self_training_hook import innermost, least_score

_names = count()
DEPTH, KEY, LESION = 14, 6, (4, 5, 6, 7)


@MODELS.register_module()
class FindsBright(BaseModel):
    """Its detections are the bright square; it remembers the slices that it was trained on."""

    trained: list = []  # noqa: RUF012
    with_mask = True

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.test_cfg = dict(score_thr=0.05)

    def train_step(self, data, optim_wrapper):
        self.trained.append([sample.img_id for sample in data["data_samples"]])
        loss = (self.weight - 1) ** 2
        optim_wrapper.update_params(loss)
        return dict(loss=loss.detach())

    def test_step(self, data):
        assert not self.training
        self.looked_from = self.test_cfg["score_thr"]
        found = []
        for pixels, sample in zip(data["inputs"], data["data_samples"], strict=True):
            bright = pixels[0] > 200
            boxes = torch.zeros(0, 4)
            if bright.any():
                ys, xs = torch.nonzero(bright, as_tuple=True)
                ends = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
                boxes = torch.stack(ends)[None].float()
            n = len(boxes)
            sample.pred_instances = InstanceData(
                bboxes=boxes,
                scores=torch.full((n,), 0.9),
                labels=torch.zeros(n, dtype=torch.long),
                masks=bright[None].expand(n, -1, -1),
            )
            found.append(sample)
        return found

    def forward(self, *inputs, **options):
        raise NotImplementedError


@pytest.fixture
def data(tmp_path):
    """One volume with a bookmark on slice KEY of a lesion on four slices."""
    (tmp_path / "images").mkdir()
    images, code = [], dict(size=[16, 16])
    for z in range(DEPTH):
        pixels = np.full((16, 16), 1000, np.uint16)
        pixels[4:12, 4:12] += 60000 * (z in LESION)
        cv2.imwrite(str(tmp_path / f"images/{z}.png"), pixels)
        images.append(
            dict(id=z + 1, file_name=f"{z}.png", width=16, height=16, volume_id="v", slice_index=z)
        )
    mask = np.zeros((16, 16), np.uint8)
    mask[4:12, 4:12] = 1
    code["counts"] = [68, *[8, 8] * 7, 8, 68]
    lesion = dict(id=1, image_id=KEY + 1, category_id=1, iscrowd=0, area=64, bbox=[4, 4, 8, 8])
    info = dict(value_range=[0, 65535])
    whole = dict(info=info, images=images, annotations=[], categories=[dict(id=1, name="lesion")])
    key = whole | dict(images=images[KEY : KEY + 1], annotations=[lesion | {"segmentation": code}])
    (tmp_path / "train_whole.json").write_text(json.dumps(whole))
    (tmp_path / "train.json").write_text(json.dumps(key))
    return tmp_path


def runner_of(data, work_dir, epochs=3, resume=False, **options):
    pipeline = [dict(type="LoadSlice"), dict(type="PackDetInputs", meta_keys=("img_id",))]
    dataset = dict(
        type="LesionDataset",
        data_root=f"{data}/",
        data_prefix=dict(img="images/"),
        ann_file="train.json",
        pipeline=pipeline,
        filter_cfg=dict(filter_empty_gt=True),
    )
    loader = dict(
        batch_size=2,
        num_workers=0,
        dataset=options.pop("dataset", dataset),
        sampler=dict(type="DefaultSampler", shuffle=False),
        collate_fn=dict(type="pseudo_collate"),
    )
    FindsBright.trained = []
    return LesionRunner.from_cfg(
        dict(
            model=dict(type="FindsBright"),
            work_dir=str(work_dir),
            experiment_name=f"self_training_{next(_names)}",
            default_scope="mmdet",
            train_dataloader=loader,
            val_dataloader=loader | dict(dataset=dataset | dict(test_mode=True)),
            val_evaluator=dict(type="LesionMetric", ann_file=str(data / "train.json")),
            val_cfg=dict(),
            train_cfg=options.pop("loop", dict(by_epoch=True, max_epochs=epochs, val_interval=99)),
            optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
            default_hooks=dict(epoch_seed=dict(type="EpochSeedHook"), logger=None),
            custom_hooks=[dict(type="SelfTrainingHook", begin=1) | options],
            resume=resume,
            log_level="ERROR",
        )
    )


def train(*args, **options):
    runner = runner_of(*args, **options)
    runner.val_loop.run = lambda: {}  # what is validated does not matter here
    runner.train()
    return runner, [sorted(batch) for batch in FindsBright.trained]


def test_the_rest_of_the_training_runs_on_the_followed_set(data, tmp_path):
    runner, batches = train(data, tmp_path / "run", empty=2)
    lesion = [z + 1 for z in LESION]
    # Slices 1 to 3 and 8 to 10 may still hold the lesion; of the others the first two are taken.
    expected = sorted([*lesion, 1, 12])
    assert batches[0] == [KEY + 1]
    second, third = (sorted(chain(*part)) for part in (batches[1:4], batches[4:]))
    assert second == third == expected
    assert runner.iter == runner.train_loop.max_iters == 1 + 3 + 3
    content = json.loads((tmp_path / "run/train_followed.json").read_text())
    assert [one["bbox"] for one in content["annotations"]] == [[4, 4, 8, 8]] * 4
    assert runner.model.test_cfg == dict(score_thr=0.05)
    assert runner.model.looked_from == 0.3


def test_a_lower_score_that_continues_lesions_is_looked_at(data, tmp_path):
    runner, _ = train(data, tmp_path / "run", min_score=0.1)
    assert runner.model.looked_from == 0.1


def test_a_resumed_run_takes_the_set_that_was_written(data, tmp_path):
    _, whole = train(data, tmp_path / "one", empty=2)
    stopped = runner_of(data, tmp_path / "two", empty=2)
    stopped.train_loop  # noqa: B018  (built when first asked for)
    stopped.val_loop.run = lambda: {}
    run_epoch = stopped.train_loop.run_epoch

    def two_epochs():
        if stopped.epoch == 2:
            raise KeyboardInterrupt
        run_epoch()

    stopped.train_loop.run_epoch = two_epochs
    with pytest.raises(KeyboardInterrupt):
        stopped.train()
    _, rest = train(data, tmp_path / "two", resume=True, empty=2)
    assert rest == whole[-3:]
    written = [(tmp_path / name / "train_followed.json").read_bytes() for name in ("one", "two")]
    assert written[0] == written[1]
    (tmp_path / "two/train_followed.json").unlink()
    with pytest.raises(FileNotFoundError, match="Resume from epoch 1"):
        train(data, tmp_path / "two", epochs=4, resume=True)


def test_what_cannot_work_is_refused_before_the_first_epoch(data, tmp_path):
    with pytest.raises(ValueError, match="after 0 to 2 epochs of 3 but got 3"):
        train(data, tmp_path / "a", begin=3)
    with pytest.raises(ValueError, match="min_iou above 0"):
        train(data, tmp_path / "b", min_iou=0)
    with pytest.raises(FileNotFoundError, match=r"prepare --whole-volumes"):
        train(data, tmp_path / "c", slices_file="other.json")
    with pytest.raises(TypeError, match="IterBasedTrainLoop"):
        train(data, tmp_path / "d", loop=dict(by_epoch=False, max_iters=3))
    assert not FindsBright.trained


def test_wrappers_are_looked_into_and_several_sets_refused():
    inner = dict(ann_file="a.json")
    assert innermost(dict(dataset=dict(type="RepeatDataset", dataset=inner))) is inner
    with pytest.raises(ValueError, match="one training set with ann_file"):
        innermost(dict(dataset=dict(type="ConcatDataset", datasets=[inner, inner])))


def test_scores_are_cut_only_meanwhile():
    model = torch.nn.Module()
    model.head, model.other = torch.nn.Module(), torch.nn.Module()
    model.head.test_cfg, model.other.test_cfg = dict(score_thr=0.05), dict(score_thr=0.5)
    with least_score(model, 0.3):
        assert model.head.test_cfg["score_thr"] == 0.3 and model.other.test_cfg["score_thr"] == 0.5
    assert model.head.test_cfg["score_thr"] == 0.05
