"""What a resumed run makes up for."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.runner import EpochBasedTrainLoop

from mmglan.engine.hooks.resumed_run_hook import ResumedRunHook


def test_copy_of_a_run_directory_leaves_the_best_checkpoint_of_the_original_alone(tmp_path):
    info = {"best_ckpt": "/original/best_lesion_bbox_AP25_epoch_5.pth"}
    checkpoint = {"message_hub": {"runtime_info": info}}
    runner = SimpleNamespace(work_dir=str(tmp_path))
    ResumedRunHook().after_load_checkpoint(runner, checkpoint)
    assert info["best_ckpt"].startswith("/original")  # kept outside the run directory
    copy = tmp_path / Path(info["best_ckpt"]).name
    copy.touch()
    ResumedRunHook().after_load_checkpoint(runner, checkpoint)
    assert info["best_ckpt"] == str(copy)


@pytest.mark.parametrize("checkpoint", [{}, {"message_hub": {"runtime_info": {}}}])
def test_weights_of_others_name_no_best_checkpoint(checkpoint, tmp_path):
    before = repr(checkpoint)
    ResumedRunHook().after_load_checkpoint(SimpleNamespace(work_dir=str(tmp_path)), checkpoint)
    assert repr(checkpoint) == before


@pytest.mark.parametrize(
    ("epoch", "validated"),
    [(0, False), (3, False), (5, False), (10, True), (11, False), (12, True)],
)
def test_epoch_resumed_from_is_validated_when_its_turn_was(epoch, validated):
    runs = []
    loop = EpochBasedTrainLoop.__new__(EpochBasedTrainLoop)
    loop._epoch, loop._max_epochs, loop.val_begin, loop.val_interval = epoch, 12, 6, 5
    runner = SimpleNamespace(
        train_loop=loop, val_loop=SimpleNamespace(run=lambda: runs.append(epoch))
    )
    ResumedRunHook().before_train(runner)
    assert bool(runs) == validated
