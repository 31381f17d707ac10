"""`mmglan configs`, and how a config is found by its name."""

import pytest

from mmglan.commands import configs
from mmglan.shipped_files import describe_config, find_config, shipped_configs

OURS = "glan_r50_fpn_160e_lesions"


def test_every_config_is_listed_with_what_it_is(capsys, repository):
    assert configs.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    files = list((repository / "configs").glob("[!_]*/*.py"))
    listed = [line.split(None, 1) for line in lines if line.startswith("  ")]
    assert sorted(name for name, _ in listed) == sorted(path.stem for path in files)
    assert dict(listed)[OURS].startswith("Ours (Table 1): Mask R-CNN")
    assert lines[-2:] == [
        f"Files: {repository / 'configs'}",
        f"Scripts for several GPUs and Slurm: {repository / 'tools'}",
    ]


def test_words_choose(capsys):
    assert configs.main(["SWIN", "detectors"]) == 0
    names = [x.split()[0] for x in capsys.readouterr().out.splitlines() if x.startswith("  ")]
    assert sorted(names) == [
        "detectors_cascade-rcnn_r50_160e_lesions",
        "glan_detectors_cascade-rcnn_r50_160e_lesions",
        "glan_swin-t_fpn_160e_lesions",
    ]
    assert configs.main(["no such words"]) == 2
    assert "error: Expected configs about no such words" in capsys.readouterr().err


def test_path_of_one(capsys, repository):
    assert configs.main(["--path", OURS]) == 0
    assert capsys.readouterr().out == f"{repository / 'configs/glan' / OURS}.py\n"
    assert configs.main(["--path", OURS[:-1]]) == 2
    assert f"Did you mean {OURS}?" in capsys.readouterr().err


def test_found_by_name_folder_or_path(repository, tmp_path, monkeypatch):
    expected = repository / "configs/glan" / f"{OURS}.py"
    monkeypatch.chdir(tmp_path)
    for name in (OURS, f"{OURS}.py", f"glan/{OURS}", f"configs/glan/{OURS}.py", str(expected)):
        assert find_config(name) == expected
    (tmp_path / f"{OURS}.py").touch()
    assert find_config(f"{OURS}.py") == (tmp_path / f"{OURS}.py").relative_to(tmp_path)
    assert find_config(OURS) == expected  # a name is never a file of the current folder
    for folder in ("baselines", "my/glan", f"/tmp{expected.parent}"):
        with pytest.raises(FileNotFoundError, match=rf"{folder}/.*: Expected a config"):
            find_config(f"{folder}/{OURS}")


def test_names_are_unique(repository):
    assert len(shipped_configs()) == len(list((repository / "configs").glob("[!_]*/*.py")))
    assert all(describe_config(path) for path in shipped_configs().values())
