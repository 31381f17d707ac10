"""What the check of configs on a GPU calls a pass."""

import pytest

from tools.benchmarks import gpu_check

ARGS = gpu_check.parse_args(["--data-root", "d", "--out", "o.json", "--rtol", "0.01"])


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"cpu": 5.0, "fp32": 5.04, "amp": 5.2}, True),
        ({"cpu": 5.0, "fp32": 5.06, "amp": 5.2}, False),
        ({"cpu": 5.0, "fp32": 5.0, "amp": 5.3}, False),
        ({"cpu": 5.0, "fp32": 5.0, "amp": None}, True),
        ({"cpu": 5.0, "fp32": float("nan"), "amp": None}, False),
        ({"cpu": 5.0, "fp32": 5.0, "amp": None, "ddp": [5.0, 5.1]}, True),
        ({"cpu": 5.0, "fp32": 5.0, "amp": None, "ddp": [5.0, float("inf")]}, False),
        ({"cpu": 5.0, "error": "RuntimeError: no kernel"}, False),
    ],
)
def test_a_config_passes_when_its_losses_agree(row, expected):
    assert gpu_check.passed(row, ARGS) == expected
