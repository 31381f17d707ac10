"""A wheel is whole: its configs, its scripts and its commands, with and without PyTorch."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from data_prep.phantoms import abdomen

FRAMEWORK = ("torch", "torchvision", "mmengine", "mmcv", "mmdet")
BUILT_FROM = ("mmglan", "data_prep", "configs", "tools")
OURS = "glan_r50_fpn_160e_lesions"


def start(command, site: Path, cwd: Path, *more_paths: Path) -> subprocess.CompletedProcess:
    foreign = {k: v for k, v in os.environ.items() if not k.startswith("MMGLAN_")}
    environment = {
        **foreign,
        "PYTHONPATH": os.pathsep.join(map(str, (*more_paths, site))),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    }
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def wheel(repository, tmp_path_factory) -> Path:
    """A wheel built without a network from a copy of the source tree."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in BUILT_FROM:
        shutil.copytree(
            repository / name, source / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    for path in repository.iterdir():
        if path.is_file():
            shutil.copy(path, source / path.name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--no-index", "-w", str(out), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.iterdir()
    return path


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory) -> Path:
    """The wheel installed into a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target"]
    done = subprocess.run(
        [*command, str(folder), str(wheel)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def no_torch(tmp_path) -> Path:
    """A folder for PYTHONPATH that hides PyTorch and OpenMMLab, from child processes as well."""
    folder = tmp_path / "no_torch"
    folder.mkdir()
    lines = ["import sys", f"sys.modules.update(dict.fromkeys({FRAMEWORK!r}))"]
    (folder / "sitecustomize.py").write_text("\n".join(lines))
    return folder


def test_wheel_holds_what_the_source_tree_holds(wheel, repository):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entries = next(n for n in names if n.endswith(".dist-info/entry_points.txt"))
        assert "mmglan = mmglan.commands.console:main" in archive.read(entries).decode()
    expected = set()
    for name, folder in {**{n: n for n in BUILT_FROM}, "configs": "mmglan/.mim/configs"}.items():
        for path in (repository / name).rglob("*"):
            if path.is_file() and path.suffix != ".pyc":
                expected.add(f"{folder}/{path.relative_to(repository / name).as_posix()}")
    scripts = {n for n in expected if n.startswith("tools/")}
    wanted = {n for n in scripts if "benchmarks" not in n and not n.endswith("setup.sh")}
    expected = expected - scripts | {f"mmglan/.mim/{name}" for name in wanted}
    found = {name for name in names if ".dist-info/" not in name}
    assert found == expected


def test_installed_configs_are_found_by_name_and_their_bases_load(site, tmp_path):
    names = (OURS, "glan_r50_fpn_g010_160e_lesions", "faster-rcnn_r50_fpn_160e_lesions")
    code = (
        "import mmglan; from mmglan.shipped_files import find_config;"
        "from mmengine.config import Config;"
        f"found = [find_config(name) for name in {names}];"
        "[Config.fromfile(path, import_custom_modules=False) for path in found];"
        "print(mmglan.__file__); print(found[0])"
    )
    done = start([sys.executable, "-c", code], site, tmp_path)
    assert done.returncode == 0, done.stderr
    expected = [site / "mmglan/__init__.py", site / f"mmglan/.mim/configs/glan/{OURS}.py"]
    assert done.stdout.split() == list(map(str, expected))
    done = start([sys.executable, "-m", "mmglan", "configs"], site, tmp_path)
    assert f"Files: {site / 'mmglan/.mim/configs'}\n" in done.stdout


def test_train_finds_a_config_by_its_name(site, tmp_path):
    # The data are missing: the config was found and its run directory made.
    command = [sys.executable, "-m", "mmglan", "train", "glan_r18_demo"]
    done = start(command, site, tmp_path)
    assert done.returncode != 0
    assert "work_dirs/demo/data/annotations/train.json" in done.stderr
    assert (tmp_path / "work_dirs/glan_r18_demo/glan_r18_demo.py").is_file()
    done = start([*command[:-1], "glan_r18"], site, tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: glan_r18: Expected a config")
    assert "Did you mean glan_r18_demo?" in done.stderr


def test_launchers_start_the_installed_scripts(site, tmp_path):
    tools = site / "mmglan/.mim/tools"
    command = ["bash", str(tools / "dist_train.sh"), "no_such_config", "1"]
    done = start(command, site, tmp_path)
    assert "error: no_such_config: Expected a config" in done.stderr
    (tmp_path / "srun").write_text('#!/bin/sh\nfor a in "$@"; do echo "$a"; done\n')
    (tmp_path / "srun").chmod(0o755)
    command = ["bash", "-c", 'PATH="$PWD:$PATH" exec bash "$@"', "x"]
    command += [str(tools / "slurm_train.sh"), "part", "job", OURS, "work"]
    words = start(command, site, tmp_path).stdout.split()
    place = words.index(str(tools / "train.py"))
    assert words[place + 1 :] == [OURS, "--work-dir=work", "--launcher=slurm"]


def test_data_and_metrics_without_torch(site, tmp_path, no_torch):
    def run(*words):
        return start([sys.executable, "-m", "mmglan", *words], site, tmp_path, no_torch)

    assert run("--help").returncode == 0
    doctor = run("doctor")
    assert doctor.returncode == 1 and doctor.stderr == ""
    assert "but not train or predict." in doctor.stdout
    abdomen.write_dataset(tmp_path, 4, shape=(8, 64, 64), n_nodes=2, spacing_mm=(5.0, 5.0, 5.0))
    done = run(
        *("prepare", "--images", "images", "--bookmarks", "bookmarks.csv", "--out-dir", "data"),
        *("--jobs", "2", "--overlays", "0", "--quiet"),
    )
    assert done.returncode == 0, done.stderr
    assert run("verify", "data", "--quiet").returncode == 0
    truth = json.loads((tmp_path / "data/annotations/train.json").read_text())
    found = [
        {key: a[key] for key in ("image_id", "category_id", "bbox")} | {"score": 0.9}
        for a in truth["annotations"]
    ]
    (tmp_path / "found.bbox.json").write_text(json.dumps(found))
    done = run(
        *("evaluate", "--gt", "data/annotations/train.json", "--pred", "found.bbox.json"),
        *("--bootstrap", "0"),
    )
    assert done.returncode == 0, done.stderr
    assert "100.00" in done.stdout
    done = run("train", OURS)
    assert done.returncode == 2
    assert done.stderr == (
        "error: Expected mmdet to be installed but found none. Run mmglan doctor.\n"
    )
