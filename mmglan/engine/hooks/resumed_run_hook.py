"""What a resumed run has to make up for, beside its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner


@HOOKS.register_module()
class ResumedRunHook(Hook):
    """Let a resumed run end with the best checkpoint of an undisturbed one.

    MMEngine saves the last checkpoint before it validates: a run killed while it validates would
    go on with the next epoch, and never learn whether that checkpoint was the best. And it deletes
    the best one so far by the path it was written to: resumed from a copy of the run directory,
    that is the original's.
    """

    priority = "LOWEST"  # CheckpointHook has looked up the best checkpoint before

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Point to the best checkpoint where the run directory is now."""
        known = checkpoint.get("message_hub")
        info = known.get("runtime_info", {}) if isinstance(known, dict) else {}
        if info.get("best_ckpt"):
            here = Path(runner.work_dir) / Path(info["best_ckpt"]).name
            if here.exists():
                info["best_ckpt"] = str(here)

    def before_train(self, runner: Runner) -> None:
        """Validate what was resumed from if its turn was; doing it again changes nothing."""
        loop = runner.train_loop
        if runner.val_loop is None:
            return
        if isinstance(loop, EpochBasedTrainLoop):
            done, end = loop.epoch, loop.max_epochs
        elif isinstance(loop, IterBasedTrainLoop):
            done, end = loop.iter, loop.max_iters
        else:
            return
        if done > 0 and done >= loop.val_begin and (done % loop.val_interval == 0 or done == end):
            runner.val_loop.run()
