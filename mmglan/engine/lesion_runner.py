"""The runner that every config of the zoo names."""

from __future__ import annotations

from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmglan.config_options import with_options_in_effect


@RUNNERS.register_module()
class LesionRunner(Runner):
    """MMEngine's runner, for configs whose variables `--cfg-options` may change."""

    @classmethod
    def from_cfg(cls, cfg: Config) -> Runner:
        """Build a runner as the parent does, with the options in effect.

        Raises:
            ConfigOptionError: See `with_options_in_effect`.
        """
        return super().from_cfg(with_options_in_effect(cfg))
