"""The runner that every config of the zoo names."""

from __future__ import annotations

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmglan.config_options import with_options_in_effect
from mmglan.engine.config_classes import with_classes
from mmglan.engine.hooks.class_count_hook import ClassCountHook


@RUNNERS.register_module()
class LesionRunner(Runner):
    """MMEngine's runner, for configs whose variables `--cfg-options` may change.

    A variable `classes` names the classes of data, heads and metrics (`with_classes`); heads with
    another number of classes than the data are refused.
    """

    @classmethod
    def from_cfg(cls, cfg: Config) -> Runner:
        """Build a runner as the parent does, with the options in effect.

        Raises:
            ConfigOptionError: See `with_options_in_effect` and `with_classes`.
        """
        return super().from_cfg(with_classes(with_options_in_effect(cfg)))

    def register_custom_hooks(self, hooks: list[Hook | dict]) -> None:
        """Register the hooks of the config, and the check of the number of classes."""
        super().register_custom_hooks([*hooks, ClassCountHook()])
