"""Values of `--cfg-options`: paths are paths."""

import argparse
from pathlib import Path

import pytest
from mmengine.config import Config, DictAction

from mmglan.option_values import OptionAction, option_value, options_of_scripts

CONFIG = Path(__file__).parents[1] / "configs/glan/glan_r50_fpn_160e_lesions.py"
PATHS = ["run dir", "a,b", "x=1,y=2", "rün/größe", r"C:\new\data", "(1) [2]", "it's", "None of it"]


def parse(*words):
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=OptionAction)
    return parser.parse_args(["--cfg-options", *words]).cfg_options


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("key", ["work_dir", "test_evaluator.outfile_prefix", "data_root"])
def test_paths_stay_as_they_are(path, key):
    assert parse(f"{key}={path}") == {key: path}
    assert parse(f"other.words='{path}'") == {"other.words": path}


@pytest.mark.parametrize(
    "text", ["1", "1e-3", "True", "None", "word", "64,64", "[1, 2]", "(3,4)", "[(1,2),[a,b]]", "[]"]
)
def test_other_values_are_read_as_mmengine_does(text):
    assert option_value("a.b", text) == DictAction._parse_iterable(text)


def test_words_keep_their_spaces_and_paths_can_be_none():
    assert option_value("experiment_name", "first try") == "first try"
    assert option_value("load_from", "None") is None


def test_a_word_without_a_value_is_refused(capsys):
    with pytest.raises(SystemExit):
        parse("work_dir")
    assert "expected KEY=VALUE but got 'work_dir'" in capsys.readouterr().err


def test_scripts_get_it_and_others_do_not():
    with options_of_scripts():
        from mmengine.config import DictAction as inside

        assert inside is OptionAction
    from mmengine.config import DictAction as outside

    assert outside is DictAction


@pytest.mark.parametrize("root", [r"C:\new data\tü", "a, b=c/", "it's"])
def test_the_data_folder_of_the_environment_is_a_path(root, monkeypatch):
    monkeypatch.setenv("MMGLAN_DATA", root)
    cfg = Config.fromfile(CONFIG, import_custom_modules=False)
    expected = root.rstrip("/") + "/"
    assert cfg.data_root == cfg.train_dataloader.dataset.data_root == expected
    assert cfg.val_evaluator.ann_file == expected + "annotations/val.json"
