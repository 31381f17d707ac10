"""The metrics work where PyTorch and MMDetection are not installed."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

FRAMEWORK = ("torch", "torchvision", "mmengine", "mmcv", "mmdet")
SCRIPT = """
import sys, warnings
warnings.simplefilter("ignore")
for name in {names!r}:
    sys.modules[name] = None
from mmglan.evaluation import bootstrap, comparison, from_files, stacking, summary
from mmglan.evaluation.froc import froc
print(froc([[[0, 0, 9, 9, 0.5]]], [[[0, 0, 9, 9]]], threshold=0.5).at(0))
"""


def test_pure_modules_without_frameworks(repository):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(names=FRAMEWORK)],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "1.0\n"), done.stderr


def test_only_the_metric_class_imports_frameworks(repository):
    users = set()
    for path in sorted((repository / "mmglan" / "evaluation").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if any(name.split(".")[0] in FRAMEWORK for name in names):
                users.add(path.name)
    assert users == {"lesion_metric.py"}


@pytest.mark.parametrize("tool", ["evaluate", "compare"])
def test_help(repository, tool):
    done = subprocess.run(
        [sys.executable, str(repository / "tools" / "analysis" / f"{tool}.py"), "--help"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0 and "--bootstrap" in done.stdout
