"""A hook that kills its own process: a run ends at the same place every time."""

import os
import signal

from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class SelfKillingHook(Hook):
    """Send SIGKILL to this process after a number of iterations.

    Args:
        iterations: counted from the start of the run; None for never.
        validating: kill when the first validation begins.
    """

    def __init__(self, iterations: int | None = None, validating: bool = False) -> None:
        self.iterations = iterations
        self.validating = validating

    def before_val(self, runner) -> None:
        """Kill before the checkpoint just saved is validated."""
        if self.validating:
            os.kill(os.getpid(), signal.SIGKILL)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Kill after the last of them."""
        if runner.iter + 1 == self.iterations:
            os.kill(os.getpid(), signal.SIGKILL)
