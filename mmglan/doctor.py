"""Report what is installed, what is wrong, and the command that fixes it.

`mmglan doctor` exits with 0 if mmglan can train and predict here, else with 1.
"""

from __future__ import annotations

import argparse
import importlib
import platform
import shutil
import subprocess
import sys
import warnings
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from mmglan import compat
from mmglan.compat import Problem

_LIBRARIES = (
    *("numpy", "scipy", "SimpleITK", "pydicom", "highdicom", "joblib", "tqdm"),
    *("pycocotools", "matplotlib", "jinja2", "plotly"),
)
_PINNED = (Path(__file__).resolve().parents[1] / "constraints.txt").is_file()  # a source tree


def describe_torch() -> tuple[list[tuple[str, str]], list[Problem]]:
    """Describe the versions of torch, CUDA and the GPUs."""
    try:
        torch = importlib.import_module("torch")
    except Exception as error:
        text = f"Expected torch to import but got {_one_line(error)}."
        return [("torch", "not usable")], [Problem(text, _install("torch"))]
    rows = [
        ("torch", torch.__version__),
        ("CUDA of torch", torch.version.cuda or "none (CPU build)"),
    ]
    count = torch.cuda.device_count()
    rows += [(f"GPU {i}", torch.cuda.get_device_name(i)) for i in range(count)] or [("GPU", "none")]
    problems = []
    if count == 0 and _driver_sees_gpu():
        text = f"Expected torch to use this machine's GPU but got torch {torch.__version__}."
        fix = "make setup TORCH='torch' VENV=.venv-cuda  # a CUDA build that fits the driver"
        problems.append(Problem(text, fix))
    return rows, problems


def describe_mm() -> tuple[list[tuple[str, str]], list[Problem]]:
    """Describe the OpenMMLab packages of both families, and whether `mmcv.ops` works."""
    installed = compat.installed_versions()
    rows = [(name, version) for name, version in installed.items()]
    has_ops = compat.mmcv_has_ops()
    problems = compat.find_problems(installed, has_ops)
    if not any("mmcv" in name for name in installed):
        return rows, problems
    if not has_ops:
        return [*rows, ("mmcv.ops", "missing")], problems
    error = _try_ops()
    if error:
        name = next(n for n in installed if n in ("onedl-mmcv", "mmcv", "mmcv-lite"))
        text = f"Expected mmcv.ops to work but got {error}: mmcv was built for another torch."
        fix = compat.rebuild_mmcv(f"{name}=={installed[name]}")
        problems.append(Problem(text, fix))
    return [*rows, ("mmcv.ops", "fails" if error else "works")], problems


def describe_libraries() -> tuple[list[tuple[str, str]], list[Problem]]:
    """Describe the versions of the other libraries, OpenCV included."""
    rows, problems = [], []
    for name in _LIBRARIES:
        try:
            importlib.import_module(name)
            rows.append((name, metadata.version(name)))
        except Exception as error:
            rows.append((name, "not usable"))
            text = f"Expected {name} to import but got {_one_line(error)}."
            problems.append(Problem(text, _install(name)))
    try:
        rows.append(("OpenCV", importlib.import_module("cv2").__version__))
    except Exception as error:
        rows.append(("OpenCV", "not usable"))
        no_gl = "libGL" in str(error)
        fix = "apt-get install libgl1" if no_gl else _install("opencv-python")
        problems.append(Problem(f"Expected cv2 to import but got {_one_line(error)}.", fix))
    return rows, problems


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report; 0 if nothing is wrong."""
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = [describe_torch(), describe_mm(), describe_libraries()]
    print(f"{'Python':24} {platform.python_version()}")
    for rows, _ in parts:
        for name, value in rows:
            print(f"{name:24} {value}")
    problems = [problem for _, found in parts for problem in found]
    for problem in problems:
        print(f"\nWRONG  {problem.text}\n  fix: {problem.fix}")
    print(f"\n{_verdict(problems, libraries_work=not parts[2][1])}")
    return 1 if problems else 0


def _verdict(problems: Sequence[Problem], libraries_work: bool) -> str:
    """Say in one line what mmglan can do here."""
    if not problems:
        return "All well: mmglan can train and predict."
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    if libraries_work:
        return f"{count}: mmglan can prepare data, evaluate and report, but not train or predict."
    return f"{count}, to be fixed in this order."


def _try_ops() -> str:
    """Run a compiled operator; empty if it gives the right answer, else what went wrong."""
    try:
        torch = importlib.import_module("torch")
        nms = importlib.import_module("mmcv.ops").nms
        boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30]])
        _, kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5)
    except Exception as error:
        return _one_line(error)
    return "" if kept.tolist() == [0, 2] else f"a wrong NMS result {kept.tolist()}"


def _driver_sees_gpu() -> bool:
    """Whether an NVIDIA driver on this machine lists a GPU."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return False
    done = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False)
    return done.returncode == 0 and "GPU" in done.stdout


def _install(name: str) -> str:
    """Command that installs a library; in a source tree, the version that was tested."""
    if name == "torch" and _PINNED:
        return "make setup"
    return f"pip install {'-c constraints.txt ' if _PINNED else ''}{name}"


def _one_line(error: Exception) -> str:
    """Return the first line of an exception with its class."""
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}".rstrip(
        ": "
    )


if __name__ == "__main__":
    sys.exit(main())
