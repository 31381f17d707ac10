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

from data_prep.atomic_files import write_json

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
    """Describe the git checkout that a folder belongs to.

    Args:
        folder: any folder.

    Returns:
        `commit` (40 hex digits) and `changed_files` (names that differ from the commit), both
        None without git, outside a checkout, or where the checkout around the folder has none of
        its files (a package installed below somebody's project).
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return os.fsdecode(subprocess.run(command, capture_output=True, check=True).stdout)

    nothing = {"commit": None, "changed_files": None}
    try:
        if not git("ls-files", "-z", "--", "."):
            return nothing
        commit = git("rev-parse", "HEAD").strip()
        entries = iter(git("status", "--porcelain", "-z", "--untracked-files=no").split("\0"))
    except (OSError, subprocess.CalledProcessError):
        return nothing
    changed = []
    for entry in filter(None, entries):
        changed.append(entry[3:])
        if set("RC") & set(entry[:2]):  # renamed or copied: the name before is the next entry
            changed.append(next(entries))
    return {"commit": commit, "changed_files": sorted(changed)}


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


def sources(dataset: Any) -> list[Any]:
    """Find the data sets with an annotation file that a data set is made of.

    Args:
        dataset: a data set, or one that repeats or joins others.
    """
    if hasattr(dataset, "ann_file"):
        return [dataset]
    parts = getattr(dataset, "datasets", None) or [getattr(dataset, "dataset", None)]
    return [source for part in parts if part is not None for source in sources(part)]


def describe_data(dataset: Any) -> dict[str, Any]:
    """Return `annotation_file`, `n_images` and `dataset_sha256` of a data set.

    Of one joined from several: a list of files, and a hash of their hashes. The hash is None where
    a file is not on this machine or lists no images.
    """
    files, hashes = [], []
    for source in sources(dataset):
        file, folder = Path(source.ann_file), getattr(source, "data_prefix", {}).get("img", "")
        files.append(source.ann_file)
        try:
            hashes.append(dataset_hash(file, Path(folder)))
        except (OSError, ValueError, KeyError, TypeError):
            hashes.append(None)
    if None in hashes or not hashes:
        combined = None
    elif len(hashes) == 1:
        combined = hashes[0]
    else:
        combined = hashlib.sha256(" ".join(hashes).encode()).hexdigest()
    return {
        "annotation_file": files[0] if len(files) == 1 else files,
        "n_images": len(dataset),
        "dataset_sha256": combined,
    }


def environment() -> dict[str, Any]:
    """Return the versions of Python, the system and the packages that matter, and the GPU."""
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
        info = {
            "schema": 1,
            "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
            "experiment": runner.experiment_name,
            "git": git_state(Path(__file__).parent),
            "environment": environment(),
            "seed": runner.seed,
            "processes": get_world_size(),
            "threads": torch.get_num_threads(),
            "batch_size_per_process": getattr(loader.batch_sampler, "batch_size", None),
            "resumed_from_epoch": runner.epoch if name == "run_info.json" else None,
            "resumed_from_iteration": runner.iter if name == "run_info.json" else None,
            "load_from": runner._load_from,
            **describe_data(loader.dataset),
        }
        write_json(Path(runner.work_dir) / name, info, indent=2)
