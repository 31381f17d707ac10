"""Eq. 6 and its variants by hand, and where they settle."""

import logging
import math

import pytest
import torch
from mmengine.logging import MMLogger
from torch import nn

from mmglan.models.uncertainty_loss import (
    VARIANTS,
    TaskUncertainty,
    best_log_variance,
    weights_and_terms,
)

LOSSES = torch.tensor([0.5, 2.0, 0.1])
S = torch.tensor([0.3, -0.4, 1.2])


def total(losses, s, variant="paper", **kwargs):
    weights, terms = weights_and_terms(losses, s, variant, **kwargs)
    return (weights * losses + terms).sum()


def test_paper_with_sigma_one_is_the_plain_sum():
    assert total(LOSSES, torch.zeros(3)).item() == LOSSES.sum().item()


def test_paper_equals_equation_6():
    sigma = [math.exp(s / 2) for s in S.tolist()]
    expected = sum(
        loss / sig**2 + math.log(sig) for loss, sig in zip(LOSSES.tolist(), sigma, strict=True)
    )
    assert total(LOSSES, S).item() == pytest.approx(expected, rel=1e-6)


def test_kendall_halves_regression():
    regression = torch.tensor([False, True, False])
    expected = sum(
        loss * math.exp(-s) * (0.5 if is_box else 1) + s / 2
        for loss, s, is_box in zip(LOSSES.tolist(), S.tolist(), [0, 1, 0], strict=True)
    )
    result = total(LOSSES, S, "kendall", regression=regression)
    assert result.item() == pytest.approx(expected, rel=1e-6)


def test_liebel_by_hand_and_never_negative():
    expected = sum(
        loss * math.exp(-s) / 2 + math.log(1 + math.exp(s))
        for loss, s in zip(LOSSES.tolist(), S.tolist(), strict=True)
    )
    assert total(LOSSES, S, "liebel").item() == pytest.approx(expected, rel=1e-6)
    assert total(LOSSES * 1e-3, torch.full((3,), -7.0), "liebel") > 0
    assert total(LOSSES * 1e-3, torch.full((3,), -7.0), "paper") < 0


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_uw_so_by_hand_and_without_gradient(temperature):
    exps = [math.exp(1 / loss / temperature) for loss in LOSSES.tolist()]
    losses = LOSSES.clone().requires_grad_()
    weights, terms = weights_and_terms(losses, S, "uw_so", temperature=temperature)
    torch.testing.assert_close(weights, torch.tensor(exps) / sum(exps))
    assert not weights.requires_grad and terms.eq(0).all()


@pytest.mark.parametrize("variant", ["paper", "kendall", "liebel"])
def test_a_loss_of_zero_gives_no_slope_and_no_term(variant):
    s = S.clone().requires_grad_()
    losses = torch.tensor([0.5, 0.0, 0.1])
    regression = torch.tensor([False, True, False])
    result = total(losses, s, variant, regression=regression)
    result.backward()
    assert s.grad[1] == 0 and (s.grad[[0, 2]] != 0).all()
    rest = total(losses[[0, 2]], S[[0, 2]], variant, regression=regression[[0, 2]])
    torch.testing.assert_close(result, rest)


def test_uw_so_leaves_out_losses_of_zero():
    weights, _ = weights_and_terms(torch.tensor([0.5, 0.0, 0.5]), S, "uw_so")
    torch.testing.assert_close(weights, torch.tensor([0.5, 0.0, 0.5]))
    weights, _ = weights_and_terms(torch.zeros(2), S[:2], "uw_so")
    assert torch.equal(weights, torch.zeros(2))


def test_uw_so_of_a_loss_whose_inverse_overflows():
    weights, _ = weights_and_terms(torch.tensor([1e-39, 0.5, 0.0]), S, "uw_so")
    assert weights.tolist() == [1, 0, 0]


def test_a_loss_that_is_not_a_number_stays_visible():
    assert total(torch.tensor([0.5, float("nan"), 0.1]), S).isnan()


@pytest.mark.parametrize("variant", ["paper", "kendall", "liebel"])
def test_a_loss_that_is_not_finite_gives_its_sigma_no_slope(variant):
    log_variance = torch.zeros(3, requires_grad=True)
    losses = torch.tensor([2.0, math.nan, math.inf])
    regression = torch.tensor([False, True, False])
    weights, terms = weights_and_terms(losses, log_variance, variant, regression)
    (weights * losses + terms).sum().backward()
    assert log_variance.grad[0] != 0 and log_variance.grad[1:].tolist() == [0, 0]


def test_optimum_is_sigma_squared_twice_the_loss_analytically():
    """d/ds (L exp(-s) + s / 2) = 0 at exp(s) = 2 L."""
    s = (2 * LOSSES).log().requires_grad_()
    total(LOSSES, s).backward()
    torch.testing.assert_close(s.grad, torch.zeros(3), atol=1e-6, rtol=0)


def test_training_reaches_the_optimum():
    uncertainty = TaskUncertainty(["a", "b"])
    losses = torch.tensor([0.7, 0.05])
    optimizer = torch.optim.SGD(uncertainty.parameters(), lr=0.2, momentum=0.9)
    for _ in range(300):
        weights, terms = uncertainty(losses)
        optimizer.zero_grad()
        (weights * losses + terms).sum().backward()
        optimizer.step()
    torch.testing.assert_close(uncertainty.sigmas() ** 2, 2 * losses, rtol=1e-3, atol=0)


def test_s_stays_in_its_range_and_comes_back():
    uncertainty = TaskUncertainty(["a"], log_variance_range=(-2.0, 2.0))
    optimizer = torch.optim.SGD(uncertainty.parameters(), lr=1.0)

    def step(loss):
        weights, terms = uncertainty(torch.tensor([loss]))
        optimizer.zero_grad()
        (weights * loss + terms).sum().backward()
        optimizer.step()
        return weights.item()

    weights = [step(1e-6) for _ in range(30)]
    assert max(weights) == pytest.approx(math.exp(2))
    for _ in range(30):
        step(1.0)
    assert uncertainty.sigmas().item() ** 2 == pytest.approx(2.0, rel=1e-3)


def test_initial_values_and_storage():
    uncertainty = TaskUncertainty(["a", "b"], init_log_variance=[0.0, 1.0])
    assert uncertainty.sigmas().tolist() == pytest.approx([1, math.exp(0.5)])
    assert list(uncertainty.state_dict()) == ["log_variance", "task_names"]
    assert bytes(uncertainty.task_names.tolist()) == b"a\nb"
    assert uncertainty.task_names.dtype == torch.uint8
    assert TaskUncertainty(["a", "b"], init_log_variance=-1.0).log_variance.tolist() == [-1, -1]
    assert list(TaskUncertainty(["a"], "uw_so").parameters()) == []


@pytest.mark.parametrize(
    "kwargs",
    [
        dict(variant="best"),
        dict(regression=["c"]),
        dict(init_log_variance=[0.0]),
        dict(init_log_variance=9.0),
        dict(temperature=0),
        dict(solver="adam"),
        dict(solver="running-mean", variant="uw_so"),
        dict(momentum=0),
        dict(momentum=1.5),
    ],
    ids=lambda kwargs: next(iter(kwargs)),
)
def test_bad_settings(kwargs):
    with pytest.raises(ValueError, match=r"Expected .* but got"):
        TaskUncertainty(["a", "b"], **kwargs)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_module_weighs_as_the_function_does(variant):
    """In the order of its names, with its own s, regression tasks and temperature."""
    settings = dict(regression=["b"], init_log_variance=S.tolist(), temperature=4.0)
    uncertainty = TaskUncertainty("abc", variant, **settings)
    regression = torch.tensor([False, True, False])
    wanted = weights_and_terms(LOSSES, S, variant, regression, 4.0)
    for found, expected in zip(uncertainty(LOSSES), wanted, strict=True):
        assert torch.equal(found, expected)
    assert uncertainty.names == ("a", "b", "c")
    assert (uncertainty.sigmas() is None) == (variant == "uw_so")


def test_defaults_are_the_papers_loss_from_the_plain_sum():
    for found, expected in zip(
        weights_and_terms(LOSSES, S), weights_and_terms(LOSSES, S, "paper"), strict=True
    ):
        assert torch.equal(found, expected)
    uncertainty = TaskUncertainty("abc")
    assert uncertainty.variant == "paper" and uncertainty.log_variance.tolist() == [0, 0, 0]
    weights, terms = uncertainty(LOSSES)
    assert weights.tolist() == [1, 1, 1] and terms.tolist() == [0, 0, 0]
    plain = weights_and_terms(LOSSES, S, "uw_so")[0]
    assert torch.equal(TaskUncertainty("abc", "uw_so")(LOSSES)[0], plain)
    assert torch.equal(plain, (1 / LOSSES).softmax(0))


@pytest.mark.parametrize("bound", [-7, 7])
def test_s_may_start_at_its_bounds_but_not_beyond(bound):
    assert TaskUncertainty("ab", init_log_variance=bound).log_variance.tolist() == [bound] * 2
    for beyond in (1.001 * bound, [0.0, 1.001 * bound]):
        with pytest.raises(ValueError, match=r"init_log_variance in \[-7.0, 7.0\] but got"):
            TaskUncertainty("ab", init_log_variance=beyond)


def test_s_is_kept_in_its_range_in_training_only():
    uncertainty = TaskUncertainty("a")
    for beyond, kept in ((-20.0, -7.0), (20.0, 7.0)):
        uncertainty.log_variance.data.fill_(beyond)
        uncertainty.eval()(LOSSES[:1])
        assert uncertainty.log_variance.item() == beyond
        uncertainty.train()(LOSSES[:1])
        assert uncertainty.log_variance.item() == kept


@pytest.mark.parametrize("variant", ["paper", "kendall", "liebel"])
def test_best_log_variance_has_no_slope(variant):
    regression = torch.tensor([False, True, False])
    s = best_log_variance(LOSSES, variant, regression).requires_grad_()
    total(LOSSES, s, variant, regression=regression).backward()
    torch.testing.assert_close(s.grad, torch.zeros(3), atol=1e-6, rtol=0)


def test_running_mean_by_hand():
    uncertainty = TaskUncertainty(["a", "b"], solver="running-mean", momentum=0.5)
    weights, terms = uncertainty(torch.tensor([0.4, 0.1]))
    # The first batch counts whole: sigma^2 = 2 L.
    torch.testing.assert_close(weights, torch.tensor([1 / 0.8, 1 / 0.2]))
    torch.testing.assert_close(terms, torch.tensor([0.8, 0.2]).log() / 2)
    # Shares 1/4 and 1/2 of 3/4; a loss of 0 is left out of its mean.
    weights, _ = uncertainty(torch.tensor([0.1, 0.0]))
    mean = (0.4 * 0.25 + 0.1 * 0.5) / 0.75
    torch.testing.assert_close(weights, torch.tensor([1 / (2 * mean), 1 / 0.2]))
    assert not list(uncertainty.parameters()) and not weights.requires_grad
    uncertainty.eval()
    assert torch.equal(uncertainty(torch.tensor([9.0, 9.0]))[0], weights)


def test_momentum_of_the_running_mean():
    """At 1 the last batch alone counts; 0.05 is the default."""
    last = TaskUncertainty("a", solver="running-mean", momentum=1)
    last(torch.tensor([0.4]))
    torch.testing.assert_close(last(torch.tensor([0.1]))[0], torch.tensor([1 / 0.2]))
    usual = TaskUncertainty("a", solver="running-mean")
    usual(torch.tensor([0.4]))
    mean = (0.4 * 0.05 * 0.95 + 0.1 * 0.05) / (0.05 * 0.95 + 0.05)
    torch.testing.assert_close(usual(torch.tensor([0.1]))[0], torch.tensor([1 / (2 * mean)]))


def test_running_mean_before_any_loss_keeps_the_start_and_its_range():
    uncertainty = TaskUncertainty(
        ["a", "b"], solver="running-mean", init_log_variance=0.5, log_variance_range=(-1.0, 1.0)
    )
    weights, _ = uncertainty(torch.tensor([0.0, 1e-9]))
    assert weights.tolist() == pytest.approx([math.exp(-0.5), math.exp(1)])


@pytest.mark.parametrize("variant", ["paper", "kendall", "liebel", "uw_so"])
def test_mean_one_keeps_ratios_and_the_slope_of_sigma(variant):
    plain = TaskUncertainty(["a", "b_box", "c"], variant, ["b_box"], S.tolist())
    scaled = TaskUncertainty(["a", "b_box", "c"], variant, ["b_box"], S.tolist(), mean_one=True)
    losses = LOSSES.clone().requires_grad_()
    expected, terms = plain(LOSSES)
    weights, scaled_terms = scaled(LOSSES)
    torch.testing.assert_close(weights, expected.detach() / expected.detach().mean())
    torch.testing.assert_close(scaled_terms.detach(), terms.detach())
    (weights * losses + scaled_terms).sum().backward()
    torch.testing.assert_close(losses.grad, weights)
    if variant != "uw_so":
        (expected * LOSSES + terms).sum().backward()
        torch.testing.assert_close(scaled.log_variance.grad, plain.log_variance.grad)


def test_mean_one_without_any_loss_is_finite():
    weights, _ = TaskUncertainty(["a", "b"], "uw_so", mean_one=True)(torch.zeros(2))
    assert weights.tolist() == [0, 0]


def test_uncertainties_follow_their_tasks_into_a_config_with_another_order():
    stored = TaskUncertainty(["cls", "box", "mask"], init_log_variance=[1.0, 2.0, 3.0])
    other = TaskUncertainty(["mask", "cls", "box"])
    other.load_state_dict(stored.state_dict())
    assert other.log_variance.tolist() == [3.0, 1.0, 2.0]
    assert torch.equal(other.task_names, TaskUncertainty(["mask", "cls", "box"]).task_names)
    means = TaskUncertainty(["cls", "box", "mask"], solver="running-mean")
    means(torch.tensor([1.0, 4.0, 9.0]))
    swapped = TaskUncertainty(["mask", "box", "cls"], solver="running-mean")
    swapped.load_state_dict(means.state_dict())
    assert torch.equal(swapped.running, means.running.flip(1))
    assert torch.equal(swapped.log_variance, means.log_variance.flip(0))
    stored_pair = TaskUncertainty(["cls", "box"], init_log_variance=[1.0, 2.0]).state_dict()
    part = nn.ModuleDict({"part": TaskUncertainty(["box", "cls"])})  # below a prefix
    part.load_state_dict({"part." + key: value for key, value in stored_pair.items()})
    assert part["part"].log_variance.tolist() == [2.0, 1.0]
    old = {"log_variance": torch.tensor([1.0, 2.0, 3.0])}  # without names: in the order given
    stored.load_state_dict(old)
    assert stored.log_variance.tolist() == [1.0, 2.0, 3.0]


def test_a_task_that_the_checkpoint_lacks_starts_new_and_is_named():
    records = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = records.append
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        stored = TaskUncertainty(["cls", "box", "mask"], init_log_variance=[1.0, 2.0, 3.0])
        wider = TaskUncertainty(["centre", "mask"], init_log_variance=-1.0)
        wider.load_state_dict(stored.state_dict())
        assert wider.log_variance.tolist() == [-1.0, 3.0]
        assert ["['centre'] start new" in record.getMessage() for record in records] == [True]
        TaskUncertainty(["mask", "cls"]).load_state_dict(stored.state_dict())
        assert len(records) == 1  # fewer tasks, none new
    finally:
        logger.removeHandler(handler)


def test_another_solver_takes_the_sigmas_and_says_what_it_lacks():
    learned = TaskUncertainty(["cls", "box"], init_log_variance=[1.0, 2.0])
    means = TaskUncertainty(["box", "cls"], solver="running-mean")
    found = means.load_state_dict(learned.state_dict(), strict=False)
    assert found.missing_keys == ["running"] and not found.unexpected_keys
    assert means.log_variance.tolist() == [2.0, 1.0]
    found = TaskUncertainty(["box", "cls"], "uw_so").load_state_dict(
        learned.state_dict(), strict=False
    )
    assert found.unexpected_keys == ["log_variance"]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("variant", ["paper", "kendall", "liebel"])
@pytest.mark.parametrize("mean_one", [False, True])
def test_a_loss_that_is_not_finite_leaves_every_sigma_alone(bad, variant, mean_one):
    tasks = TaskUncertainty(["a", "b"], variant, init_log_variance=[0.25, 0.5], mean_one=mean_one)
    optimizer = torch.optim.SGD(tasks.parameters(), lr=0.1)
    losses = torch.tensor([bad, 2.0])
    weights, terms = tasks(losses)
    (weights * losses.nan_to_num() + terms.nan_to_num()).sum().backward()
    gradient = tasks.log_variance.grad
    assert gradient[0] == 0 and gradient[1].isfinite()
    # Clipping to a norm that is not finite spoils every gradient.
    tasks.log_variance.grad = gradient * torch.nan
    optimizer.step()
    tasks(torch.tensor([1.0, 2.0]))
    assert tasks.log_variance.tolist() == [0.25, 0.5]
    tasks.log_variance.data += 0.5  # a sound step is where the next one goes back to
    tasks(torch.tensor([1.0, 2.0]))
    tasks.log_variance.data *= torch.nan
    tasks(torch.tensor([1.0, 2.0]))
    assert tasks.log_variance.tolist() == [0.75, 1.0]


def test_a_loss_that_is_not_finite_stays_out_of_the_running_mean_and_the_softmax():
    tasks = TaskUncertainty(["a", "b"], solver="running-mean")
    tasks(torch.tensor([1.0, 2.0]))
    before = tasks.running.clone()
    tasks(torch.tensor([torch.nan, torch.inf]))
    assert torch.equal(tasks.running, before) and tasks.log_variance.isfinite().all()
    weights, _ = TaskUncertainty(["a", "b"], "uw_so")(torch.tensor([torch.nan, 2.0]))
    assert weights.tolist() == [0.0, 1.0]
