"""A model with another number of classes than the data is refused before the first step."""

from __future__ import annotations

from mmdet.engine.hooks import NumClassCheckHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class ClassCountHook(NumClassCheckHook):
    """MMDetection's check, for every loop and with advice. `LesionRunner` adds it."""

    priority = "VERY_HIGH"

    def before_train(self, runner: Runner) -> None:
        """Check the heads against the training data.

        Raises:
            ValueError: A head has another number of classes.
        """
        self._check_head(runner, "train")

    def _check_head(self, runner: Runner, mode: str) -> None:
        try:
            super()._check_head(runner, mode)
        except AssertionError as error:
            loader = runner.train_dataloader if mode == "train" else runner.val_dataloader
            names = loader.dataset.metainfo["classes"]
            raise ValueError(
                f"Expected num_classes={len(names)} in every head, for the classes {names} of the "
                f"data, but got: {error}. Set classes = {names} in the config"
            ) from error
