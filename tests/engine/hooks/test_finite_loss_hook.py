"""Trainings that diverge, on a model of one weight."""

from itertools import count

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmglan.engine import FiniteLossHook

_names = count()


class Falling(BaseModel):
    """A weight that moves by 1 a step; at `bad` its loss or the weight itself is spoilt."""

    def __init__(self, bad, what):
        super().__init__()
        self.weight, self.bad, self.what = torch.nn.Parameter(torch.tensor(0.0)), bad, what
        self.steps = 0

    def forward(self, *batch, mode):
        if mode == "predict":
            return [dict(score=1.0)]
        self.steps += 1
        spoilt = self.steps == self.bad
        factor = torch.tensor(float("nan") if spoilt and self.what == "loss" else 1.0)
        if spoilt and self.what == "weight":
            self.weight.data.fill_(torch.inf)
            return dict(loss_a=torch.ones((), requires_grad=True))
        return dict(loss_a=-self.weight * factor, loss_b=self.weight * 0, acc=factor.detach())


class Score(BaseMetric):
    default_prefix = "toy"

    def process(self, data_batch, data_samples):
        self.results += [1.0]

    def compute_metrics(self, results):
        return dict(score=sum(results))


def train(folder, model, **hook):
    class Loader(DataLoader):  # a plain list is no data set of a loader
        pass

    data = [torch.tensor(1.0), torch.tensor(1.0)]
    runner = Runner(
        model=model,
        work_dir=str(folder),
        train_dataloader=Loader(data, batch_size=1, collate_fn=list),
        val_dataloader=Loader(data[:1], batch_size=1, collate_fn=list),
        train_cfg=dict(by_epoch=True, max_epochs=2, val_interval=1),
        val_cfg=dict(),
        val_evaluator=[Score()],
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=1.0), clip_grad=dict(max_norm=5)),
        default_hooks=dict(
            finite_loss=dict(type="FiniteLossHook", **hook),
            checkpoint=dict(
                type="CheckpointHook", interval=1, save_best="toy/score", rule="greater"
            ),
        ),
        visualizer=dict(type="Visualizer", vis_backends=[], name=f"v{next(_names)}"),
        log_level="ERROR",
        experiment_name=f"e{next(_names)}",
        default_scope="mmengine",
    )
    runner.train()
    return runner


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setattr(Runner, "_log_env", lambda *_: None)  # asks compilers for their versions


def names(folder):
    return sorted(path.name for path in folder.glob("*.pth"))


def test_a_loss_that_is_not_finite_stops_before_the_checkpoint(tmp_path):
    with pytest.raises(FloatingPointError, match=r"Iteration 4, epoch 2: .*nan \(loss_a\)"):
        train(tmp_path, Falling(4, "loss"))
    assert names(tmp_path) == ["best_toy_score_epoch_1.pth", "epoch_1.pth"]


def test_going_on_leaves_the_step_out(tmp_path):
    runner = train(tmp_path, Falling(2, "loss"), stop=False)
    assert runner.model.weight.item() == 3.0  # four steps, one of them left out
    assert "epoch_2.pth" in names(tmp_path)


def test_weights_that_are_not_finite_stop_the_run(tmp_path):
    with pytest.raises(FloatingPointError, match=r"Expected finite weights but got .* weight\. "):
        train(tmp_path, Falling(2, "weight"))
    assert not [name for name in names(tmp_path) if name.startswith("best")]


def test_weights_that_are_not_finite_are_never_the_best(tmp_path):
    train(tmp_path, Falling(2, "weight"), stop=False)
    assert names(tmp_path) == ["epoch_1.pth", "epoch_2.pth"]


def test_images_of_the_batch_are_named():
    class Sample:
        img_path = "v0001/v0001_0003.png"

    class Rates:
        get_lr = staticmethod(lambda: dict(lr=[0.1]))

    class Run:
        iter, epoch, optim_wrapper = 0, 0, Rates()

    outputs = dict(loss=torch.tensor(torch.inf), loss_cls=torch.tensor(torch.inf))
    with pytest.raises(FloatingPointError, match=r"'lr': 0\.1.*v0001_0003\.png.*clip_grad"):
        FiniteLossHook().after_train_iter(Run(), 0, dict(data_samples=[Sample()]), outputs)
