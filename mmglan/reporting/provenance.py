"""What a run was made of, from the `run_info.json` that training leaves; no path is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from mmglan.detections.coco_files import read_json


class Git(msgspec.Struct):
    """State of the code."""

    commit: str | None = None
    changed_files: list[str] | None = None


class Environment(msgspec.Struct):
    """What was installed."""

    packages: dict[str, str] | None = None
    gpu: str | None = None
    python: str | None = None


class RunInfo(msgspec.Struct):
    """What the report reads of `run_info.json`."""

    git: Git | None = None
    environment: Environment | None = None
    dataset_sha256: str | None = None
    n_images: int | None = None
    seed: int | None = None
    processes: int | None = None
    batch_size_per_process: int | None = None


def read_run_info(folder: Path) -> dict[str, Any]:
    """Read a work directory's `run_info.json`; `{}` where there is none.

    Raises:
        ValueError: Not JSON, or a value of another type than training writes; it is named.
    """
    path = Path(folder) / "run_info.json"
    info = read_json(path) if path.is_file() else {}
    try:
        msgspec.convert(info, RunInfo)
    except msgspec.ValidationError as error:
        raise ValueError(f"{path.name}: {error}") from error
    return info


def provenance_rows(info: dict[str, Any]) -> list[tuple[str, str]]:
    """Return name and text of what the report states about a run's origin; only what is known."""
    git, environment = info.get("git") or {}, info.get("environment") or {}
    rows = []
    if git.get("commit"):
        changed = len(git.get("changed_files") or [])
        plural = "" if changed == 1 else "s"
        state = f", with {changed} changed file{plural}" if changed else ", unchanged"
        rows.append(("Code", git["commit"][:12] + state))
    if info.get("dataset_sha256"):
        rows.append(("Training data, SHA-256", info["dataset_sha256"][:16]))
    names = {
        "n_images": "Training slices",
        "seed": "Seed",
        "processes": "Processes",
        "batch_size_per_process": "Batch per process",
    }
    rows += [(text, str(info[key])) for key, text in names.items() if info.get(key) is not None]
    packages = environment.get("packages") or {}
    if packages:
        rows.append(("Packages", ", ".join(f"{n} {packages[n]}" for n in sorted(packages))))
    hardware = [environment[key] for key in ("gpu", "python") if environment.get(key)]
    if hardware:
        rows.append(("Device, Python" if environment.get("gpu") else "Python", ", ".join(hardware)))
    return rows
