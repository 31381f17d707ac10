"""A hook that kills its own process: a run ends in mid-epoch, at the same place every time."""

import os
import signal

from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class SelfKillingHook(Hook):
    """Send SIGKILL to this process after a number of iterations.

    Args:
        iterations: counted from the start of the run.
    """

    def __init__(self, iterations: int) -> None:
        self.iterations = iterations

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Kill after the last of them."""
        if runner.iter + 1 == self.iterations:
            os.kill(os.getpid(), signal.SIGKILL)
