"""What a run was made of, written into its directory: `run_info.json`."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_world_size, master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

DISTRIBUTIONS = (
    "torch",
    "numpy",
    "onedl-mmengine",
    "onedl-mmcv",
    "onedl-mmdetection",
    "mmengine",
    "mmcv",
    "mmdet",
    "mmglan",
)


def git_state(folder: Path) -> dict[str, Any]:
    """Describe the git checkout that holds a folder.

    Args:
        folder: any folder.

    Returns:
        `commit` (40 hex digits) and `changed_files` (names that differ from the commit), both
        None outside a checkout or without git.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    try:
        commit = git("rev-parse", "HEAD").strip()
        changed = git("status", "--porcelain", "--untracked-files=no").splitlines()
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "changed_files": None}
    return {"commit": commit, "changed_files": sorted(line[3:] for line in changed)}


def dataset_hash(annotation_file: Path, image_root: Path) -> str:
    """Hash an annotation file and the names and sizes in bytes of the images it lists.

    Contents of images are not read: a set of thousands of slices takes well under a second.

    Args:
        annotation_file: COCO JSON file.
        image_root: folder that its `file_name` entries are relative to.

    Returns:
        SHA-256 in hex. An image that is missing counts as size -1.
    """
    text = annotation_file.read_bytes()
    digest = hashlib.sha256(text)
    for name in sorted(image["file_name"] for image in json.loads(text)["images"]):
        path = image_root / name
        size = path.stat().st_size if path.exists() else -1
        digest.update(f"{name}\0{size}\n".encode())
    return digest.hexdigest()


def environment() -> dict[str, Any]:
    """Versions of Python, the system and the installed packages that matter, and the GPU."""
    versions = {}
    for name in DISTRIBUTIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": versions,
        "gpu": gpu,
    }


def write_json(path: Path, content: Any) -> None:
    """Write JSON with sorted keys, whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    os.replace(part, path)


@HOOKS.register_module()
class RunInfoHook(Hook):
    """Write `run_info.json` (training) or `test_info.json` (testing) into the run directory.

    The file holds the git state, the environment, the seed, the command line, the number of
    processes and a hash of the dataset. MMEngine saves the config beside it.
    """

    def before_train(self, runner: Runner) -> None:
        """Write once the training loader exists."""
        self._write(runner, "run_info.json", runner.train_dataloader)

    def before_test(self, runner: Runner) -> None:
        """Write once the test loader exists."""
        self._write(runner, "test_info.json", runner.test_dataloader)

    @master_only
    def _write(self, runner: Runner, name: str, loader: Any) -> None:
        dataset = loader.dataset
        while not hasattr(dataset, "ann_file") and hasattr(dataset, "dataset"):
            dataset = dataset.dataset
        info = {
            "schema": 1,
            "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
            "experiment": runner.experiment_name,
            "git": git_state(Path(__file__).parent),
            "environment": environment(),
            "seed": runner.seed,
            "processes": get_world_size(),
            "threads": torch.get_num_threads(),
            "batch_size_per_process": loader.batch_sampler.batch_size,
            "resumed_from_epoch": runner.epoch if name == "run_info.json" else None,
            "load_from": runner._load_from,
            "annotation_file": dataset.ann_file,
            "n_images": len(dataset),
            "dataset_sha256": dataset_hash(
                Path(dataset.ann_file), Path(dataset.data_prefix["img"])
            ),
        }
        write_json(Path(runner.work_dir) / name, info)
