"""The console script: its page, its subcommands, what it says of those that do not exist."""

import ast
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mmglan.commands import console
from mmglan.commands.subcommands import EXAMPLE, GROUPS, SUBCOMMANDS, help_page

FRAMEWORK = {"torch", "torchvision", "mmengine", "mmcv", "mmdet"}
HEAVY = {"numpy", "scipy", "cv2", "matplotlib", "SimpleITK", "pydicom"}


def start(*arguments: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mmglan", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_page_names_every_subcommand_once_in_80_columns_or_a_little_more():
    page = help_page()
    assert sum(map(len, GROUPS.values())) == len(SUBCOMMANDS)
    for command in SUBCOMMANDS.values():
        assert len(re.findall(rf"^  {command.name} ", page, flags=re.M)) == 1
    assert max(map(len, page.splitlines())) <= 100


def test_every_module_has_a_main_that_takes_arguments():
    for command in SUBCOMMANDS.values():
        tree = ast.parse(Path(importlib.util.find_spec(command.module).origin).read_text())
        (main,) = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "main")
        assert len(main.args.args) == 1 and len(main.args.defaults) == 1, command.name


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]])
def test_help_is_printed(words, capsys):
    assert console.main(words) == 0
    assert capsys.readouterr().out.rstrip() == help_page().rstrip()


def test_without_a_command_the_page_goes_to_standard_error(capsys):
    assert console.main([]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.rstrip() == help_page().rstrip()


def test_help_imports_next_to_nothing():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "mmglan", "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not {name.partition(".")[0] for name in imported} & (FRAMEWORK | HEAVY)


@pytest.mark.parametrize(
    ("word", "hint"),
    [("evalute", "Did you mean evaluate? "), ("plot_froc", "Did you mean plot-froc? "), ("x", "")],
)
def test_unknown_command_is_refused_with_the_most_similar(word, hint, capsys):
    assert console.main([word]) == 2
    expected = f"error: Expected a command of mmglan but got {word}. {hint}See mmglan --help.\n"
    assert capsys.readouterr().err == expected


def test_help_of_a_subcommand_shows_it_as_the_user_types_it():
    for words in (["evaluate", "--help"], ["help", "evaluate"]):
        done = start(*words)
        assert done.returncode == 0
        assert done.stdout.startswith("usage: mmglan evaluate ")


def test_missing_package_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "mmglan.commands.sweep", raising=False)
    assert console.main(["sweep", "--help"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: Expected optuna for mmglan sweep") and "doctor" in message


def test_example_uses_commands_and_options_that_exist():
    lines = [line.strip() for line in EXAMPLE.splitlines() if line.startswith("  ")]
    assert [line.split()[1] for line in lines] == ["prepare", "verify", "train", "test", "report"]
    for line in lines:
        words = shlex.split(line)
        options = [word for word in words if word.startswith("--")]
        if options:
            page = start(words[1], "--help").stdout
            assert all(re.search(rf"{option}\b", page) for option in options), line


@pytest.mark.parametrize("shim", ["tools/diff_configs.py", "tools/analysis/collect_results.py"])
def test_scripts_in_tools_are_the_same_commands(shim, repository):
    done = subprocess.run(
        [sys.executable, str(repository / shim), "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    name = {"diff_configs": "diff-configs", "collect_results": "tables"}[Path(shim).stem]
    assert done.stdout.startswith(f"usage: mmglan {name} "), done.stderr


def test_every_command_of_mmglan_has_a_script_in_tools(repository):
    named = set()
    for path in (*(repository / "tools").glob("*.py"), *(repository / "tools/analysis").iterdir()):
        if found := re.search(r'raise SystemExit\(run\("(.*)"\)\)', path.read_text()):
            named.add(found[1])
    ours = {c.name for c in SUBCOMMANDS.values() if c.module.startswith("mmglan.commands.")}
    assert named == ours - {"configs"}


@pytest.mark.parametrize("word", ["configs", "--help"])
def test_reader_that_has_gone_is_no_error(word):
    command = f"{sys.executable} -u -m mmglan {word} | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout.count("\n") == 1 and done.stderr == ""
