"""The step time benchmark on tiny networks."""

import json

import pytest
import torch
from mmengine.registry import init_default_scope

from mmglan.models import GlobalLocalAttention
from tools.benchmarks import step_time
from tools.benchmarks.step_time_parts import PeakMemory, plain_attention_in


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A run with two rounds, and what it printed."""
    folder = tmp_path_factory.mktemp("step_time")
    threads = torch.get_num_threads()
    arguments = ["--tiny", "--quiet", "--size", "96", "--rois", "20", "--proposals", "15", "8"]
    arguments += ["--rounds", "2", "--threads", "1", "--device", "cpu", "--out-dir", str(folder)]
    assert step_time.main(arguments) == 0
    torch.set_num_threads(threads)
    return json.loads((folder / "step_time.json").read_text())


def test_every_variant_in_every_mode(report):
    assert set(report["variants"]) == set(step_time.VARIANTS)
    for name, (_, _, base) in step_time.VARIANTS.items():
        results = report["variants"][name]
        for mode in ("train", "predict 15", "predict 8"):
            row, other = results[mode], report["variants"][base][mode]
            assert len(row["all_seconds"]) == 2 and min(row["all_seconds"]) > 0
            assert row["time_ratio"] == pytest.approx(row["seconds"] / other["seconds"])
            assert row["flops_ratio"] == pytest.approx(row["gflops"] / other["gflops"])


def test_numbers_of_rois_are_those_asked_for(report):
    stock = report["variants"]["stock"]
    assert [stock[mode]["rois"] for mode in ("train", "predict 15", "predict 8")] == [40, 30, 16]
    assert stock["predict 15"]["mask_rois"] > 0


def test_flops_saved_by_hand(report):
    """Prediction, 30 RoIs of 64 channels.

    The naive first convolution goes from 128 to 64 channels on 30 RoIs; ours goes from 64 to 64
    on 30 RoIs and on two images.
    """
    per_map = 2 * 49 * 9 * 64
    variants = report["variants"]
    naive, ours = (
        variants[name]["predict 15"]["gflops"] for name in ("naive attention", "attention")
    )
    assert naive - ours == pytest.approx(per_map * (30 * 128 - 32 * 64) / 1e9, rel=1e-6)


def test_parameters(report):
    count = {name: rows["parameters"] for name, rows in report["variants"].items()}
    attention = 9 * 128 * 64 + 2 * 64 + 9 * 64 * 2 + 2
    assert count["attention"] - count["stock"] == attention
    assert count["naive attention"] == count["attention"]
    assert count["attention + wrapper"] - count["attention"] == 5
    assert count["cascade + both"] - count["cascade"] == 3 * attention + 5


def test_wrapper_alone_is_measured(report):
    assert 0 < report["wrapper_seconds"] < 0.5
    step = report["variants"]["attention + wrapper"]["train"]["seconds"]
    assert report["wrapper_share"] == pytest.approx(report["wrapper_seconds"] / step)


def test_the_naive_form_is_the_same_function():
    torch.manual_seed(0)
    init_default_scope("mmdet")
    attention = GlobalLocalAttention([1.0, 0.1], 8, 16, norm_cfg=dict(type="BN"))
    attention.init_weights()
    inputs = torch.randn(70, 8, 7, 7), [torch.randn(2, 8, 7, 7), torch.randn(70, 8, 7, 7)]
    index = torch.randint(2, (70,))
    expected = attention(*inputs, index)
    plain_attention_in(attention)
    torch.testing.assert_close(attention(*inputs, index), expected)


def test_peak_memory_of_a_known_block():
    with PeakMemory(torch.device("cpu")) as memory:
        block = torch.ones(16, 2**20)  # 64 MB
        for _ in range(20):
            block.add_(1)
    assert 60 < memory.peak_mb < 160
