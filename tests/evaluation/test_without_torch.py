"""The metrics work where PyTorch and MMDetection are not installed."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

FRAMEWORK = ("torch", "torchvision", "mmengine", "mmcv", "mmdet")
SCRIPT = """
import sys
for name in {names!r}:
    sys.modules[name] = None
from mmglan.evaluation import evaluate
from mmglan.evaluation.resampling import bootstrap
from mmglan.evaluation.resampling import comparison
from mmglan.evaluation.detection_sets import load_results
from mmglan.detections import stacking
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
    assert (done.returncode, done.stdout, done.stderr) == (0, "1.0\n", "")


def imported(repository, module):
    """Names of all modules that an import brings in; a word on the terminal is an error."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", f"import {module}"],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=120,
    )
    rows = [line.removeprefix("import time:").split("|") for line in done.stderr.splitlines()]
    assert all(len(row) == 3 for row in rows), done.stderr  # a warning is no row of the table
    return {name.strip() for _, _, name in rows[1:]}


@pytest.mark.parametrize("module", ["mmglan", "mmglan.evaluation.froc"])
def test_light_import(repository, module):
    """Silent and without what is slow to import, also where it is installed."""
    heavy = {*FRAMEWORK, "scipy", "cv2", "matplotlib", "SimpleITK", "pydicom"}
    assert not heavy & {name.split(".")[0] for name in imported(repository, module)}


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
        [sys.executable, "-m", f"mmglan.commands.{tool}", "--help"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0 and "--bootstrap" in done.stdout
