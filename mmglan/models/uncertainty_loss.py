"""Multi-task uncertainty loss (Sec. 3.3, Eq. 6 of the paper) and its variants.

T: number of tasks. s = log sigma^2 is what is learned, so that sigma stays positive:
1 / sigma^2 = exp(-s) and log sigma = s / 2.

| variant   | weight of a task's loss                | added per task  | source                    |
|-----------|----------------------------------------|-----------------|---------------------------|
| `paper`   | exp(-s)                                | s / 2           | Eq. 6                     |
| `kendall` | exp(-s), half of it for regression     | s / 2           | Kendall et al., CVPR 2018 |
| `liebel`  | exp(-s) / 2                            | log(1 + exp(s)) | Liebel and Körner, 2018   |
| `uw_so`   | softmax over tasks of 1 / (loss * temperature), no gradient | 0 | Kirchdorfer, 2024 |
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor, nn

VARIANTS = ("paper", "kendall", "liebel", "uw_so")
SOLVERS = ("gradient", "running-mean")


def weights_and_terms(
    losses: Tensor,
    log_variance: Tensor,
    variant: str = "paper",
    regression: Tensor | None = None,
    temperature: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Weight of each task's loss, and what is added for it.

    A task whose loss is exactly 0 has nothing to learn from in this batch (no positives, say). It
    gets a term of 0, so that its sigma does not shrink for nothing. Nor does a loss that is not
    finite reach its sigma: the weight has no gradient then.

    Args:
        losses: `(T,)` raw losses, float32; their means over the processes where there are several.
        log_variance: `(T,)` s, float32; not used by `uw_so`.
        variant: One of `VARIANTS`.
        regression: `(T,)` bool, tasks that `kendall` weighs by one half.
        temperature: Of `uw_so`; a large one makes all weights 1 / T.

    Returns:
        weights `(T,)` and terms `(T,)`. The total loss is `(weights * losses + terms).sum()`.
    """
    active = _active(losses)
    if variant == "uw_so":
        inverse = (1 / losses.detach() / temperature).clamp(max=torch.finfo(losses.dtype).max)
        inverse = torch.where(active, inverse, -torch.inf)
        weights = torch.where(active, inverse.softmax(0), 0.0)
        return weights, torch.zeros_like(weights)
    if variant == "liebel":
        weights, terms = (-log_variance).exp() / 2, F.softplus(log_variance)
    else:
        weights, terms = (-log_variance).exp(), log_variance / 2
        if variant == "kendall":
            weights = torch.where(regression, weights / 2, weights)
    weights = torch.where(losses.detach().isfinite(), weights, weights.detach())
    return weights, terms * active


def _active(losses: Tensor) -> Tensor:
    """`(T,)` bool: tasks that a batch teaches something."""
    return (losses.detach() != 0) & losses.detach().isfinite()


def best_log_variance(
    losses: Tensor, variant: str = "paper", regression: Tensor | None = None
) -> Tensor:
    """s that minimises weight * loss + term of each task: where gradient descent on s ends.

    `paper`: log(2 L). `kendall`: log(2 L), log L for regression. `liebel`: the positive root v of
    2 v^2 = L (1 + v), v = exp(s).

    Args:
        losses: `(T,)` losses above 0.
        variant: One of `VARIANTS` but `uw_so`, which has no s.
        regression: `(T,)` bool, for `kendall`.
    """
    if variant == "liebel":
        return ((losses + (losses * (losses + 8)).sqrt()) / 4).log()
    if variant == "kendall":
        return torch.where(regression, losses, 2 * losses).log()
    return (2 * losses).log()


def with_mean_one(weights: Tensor, terms: Tensor, losses: Tensor) -> tuple[Tensor, Tensor]:
    """Scale weights to the mean 1, without changing what sigma learns.

    All weights of Eq. 6 grow as the losses fall. The factor they share balances nothing, but it
    undoes the decrease of the gradients and fills a limit on their norm. Here the model sees the
    ratios alone, as constants; sigma has the gradient of the unscaled loss.

    Args:
        weights, terms: `(T,)`, of `weights_and_terms`.
        losses: `(T,)` raw losses.

    Returns:
        Weights `(T,)` without gradient and terms `(T,)`, whose values stay as they were.
    """
    fixed = weights.detach()
    slope = (weights - fixed) * losses.detach()
    return fixed / fixed.mean().clamp(min=torch.finfo(fixed.dtype).tiny), terms + slope


class TaskUncertainty(nn.Module):
    """The learned uncertainties of T tasks.

    Args:
        names: Task names.
        variant: One of `VARIANTS`.
        regression: Names of the regression tasks, for `kendall`.
        init_log_variance: Initial s, one value or one per task; 0 starts from the plain sum
            (`paper`).
        log_variance_range: s is kept in this range. The default allows weights from 1/1097 to 1097.
        temperature: Of `uw_so`.
        mean_one: Scale the weights to the mean 1 (`with_mean_one`).
        solver: `gradient` (the paper's: s is learned by the optimiser) or `running-mean`: s is
            `best_log_variance` of a running mean of each loss, the start included.
        momentum: Share of a batch in the running mean.

    Raises:
        ValueError: Unknown variant, solver or regression task, or values out of range.
    """

    def __init__(
        self,
        names: Sequence[str],
        variant: str = "paper",
        regression: Sequence[str] = (),
        init_log_variance: float | Sequence[float] = 0.0,
        log_variance_range: tuple[float, float] = (-7.0, 7.0),
        temperature: float = 1.0,
        mean_one: bool = False,
        solver: str = "gradient",
        momentum: float = 0.05,
    ) -> None:
        super().__init__()
        if solver not in SOLVERS or (solver == "running-mean" and variant == "uw_so"):
            raise ValueError(
                f"Expected solver to be one of {SOLVERS} ('gradient' for 'uw_so', which learns "
                f"nothing) but got {solver!r}."
            )
        if not 0 < momentum <= 1:
            raise ValueError(f"Expected momentum above 0 and at most 1 but got {momentum}.")
        if variant not in VARIANTS:
            raise ValueError(f"Expected variant to be one of {VARIANTS} but got {variant!r}.")
        if unknown := sorted(set(regression) - set(names)):
            raise ValueError(f"Expected regression tasks among {list(names)} but got {unknown}.")
        if temperature <= 0:
            raise ValueError(f"Expected a positive temperature but got {temperature}.")
        self.names = tuple(names)
        self.variant = variant
        self.temperature = temperature
        self.mean_one = mean_one
        self.momentum = momentum
        self.low, self.high = log_variance_range
        initial = torch.as_tensor(init_log_variance, dtype=torch.float32)
        if initial.ndim and initial.shape != (len(names),):
            raise ValueError(
                f"Expected init_log_variance to hold one value or {len(names)} (one for each of "
                f"{list(names)}) but got an array of shape {tuple(initial.shape)}."
            )
        if not bool(((initial >= self.low) & (initial <= self.high)).all()):
            raise ValueError(
                f"Expected init_log_variance in [{self.low}, {self.high}] but got "
                f"{initial.tolist()}."
            )
        self.register_buffer(
            "regression", torch.tensor([name in regression for name in names]), persistent=False
        )
        start = initial.expand(len(names)).clone()
        # In checkpoints, so that a config with another order of the tasks gives each its own.
        text = torch.tensor(list("\n".join(names).encode()), dtype=torch.uint8)
        self.register_buffer("task_names", text)
        self.learned = solver == "gradient"
        if self.learned:
            self.log_variance = None if variant == "uw_so" else nn.Parameter(start)
            self.register_buffer("last_finite", start.clone(), persistent=False)
        else:
            self.register_buffer("log_variance", start)
            # Running mean of the losses and of 1: their ratio has no bias to the start.
            self.register_buffer("running", torch.zeros(2, len(names)))

    def forward(self, losses: Tensor) -> tuple[Tensor, Tensor]:
        """Compute weights and terms of the tasks, see `weights_and_terms`.

        Args:
            losses: `(T,)` raw losses in the order of `names`; gradients do not pass through here.
        """
        if self.log_variance is None:
            weights, terms = weights_and_terms(
                losses, losses, self.variant, temperature=self.temperature
            )
        else:
            if self.training:
                self._update(losses)
            s = self.log_variance.float()
            weights, terms = weights_and_terms(losses, s, self.variant, self.regression)
        return with_mean_one(weights, terms, losses) if self.mean_one else (weights, terms)

    @torch.no_grad()
    def _update(self, losses: Tensor) -> None:
        """Follow the running mean, and keep s finite and in its range."""
        if not self.learned:
            active = _active(losses)
            batch = torch.stack([losses.detach(), torch.ones_like(losses)])
            self.running[:, active] = self.running.lerp(batch, self.momentum)[:, active]
            total, share = self.running
            best = best_log_variance(total / share, self.variant, self.regression)
            self.log_variance.copy_(torch.where(share > 0, best, self.log_variance))
        # Projecting the parameter keeps its gradient alive at the bounds, clamping the value
        # would not. `.data`, since a graph of an earlier forward may still be waiting.
        s = self.log_variance.data.clamp_(self.low, self.high)
        if self.learned:  # a step that was clipped by a norm that is not finite spoils every s
            s.copy_(torch.where(s.isfinite(), s, self.last_finite))
            self.last_finite.copy_(s)

    def sigmas(self) -> Tensor | None:
        """Return `(T,)` sigma without gradient; None where the variant has none."""
        return None if self.log_variance is None else (self.log_variance.detach().float() / 2).exp()

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs) -> None:
        """Give each task what was stored under its name; checkpoints without names are in order."""
        stored = state_dict.get(f"{prefix}task_names")
        if stored is not None and not torch.equal(stored.cpu(), self.task_names.cpu()):
            names = bytes(stored.tolist()).decode().split("\n")
            if new := [name for name in self.names if name not in names]:
                note = f"The checkpoint has uncertainties of {names}: those of {new} start new."
                print_log(note, "current", logging.WARNING)
            for key in ("log_variance", "running"):
                value, own = state_dict.get(prefix + key), getattr(self, key, None)
                if value is None or own is None:
                    continue
                columns = [
                    value[..., names.index(name)] if name in names else own[..., column].to(value)
                    for column, name in enumerate(self.names)
                ]
                state_dict[prefix + key] = torch.stack(columns, dim=-1)
        state_dict[f"{prefix}task_names"] = self.task_names
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
