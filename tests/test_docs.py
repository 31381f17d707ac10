"""Links, paths and commands of the documentation are as the code has them."""

import contextlib
import doctest
import importlib
import io
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from mmglan.commands.subcommands import SUBCOMMANDS

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
)
# Subcommands of their own, which explain their options.
PARTS = {
    "phantom": [["abdomen"], ["context"], ["irregular-lesions"]],
    "fpr": [["train"], ["apply"]],
    "public-set": [["lgg"], ["luna16"], ["picai"]],
}
MMDET_OWN = ("train", "test")  # their options are those of MMDetection's scripts
OTHER_OPTIONS = {
    *("--amp", "--auto-scale-lr", "--cfg-options", "--resume", "--resume-from"),  # MMDetection
    *("--logdir", "--only-binary"),  # TensorBoard, pip
    *("--i-trust-this-file", "--volumes", "--version"),  # checkpoint_guard, benchmarks, mmglan
    "--lines",  # tools/mutation_test.py
}


@cache
def options_of(name: str) -> set[str]:
    """Options that a subcommand explains."""
    output = io.StringIO()
    for words in PARTS.get(name, [[]]):
        with contextlib.redirect_stdout(output), pytest.raises(SystemExit):
            importlib.import_module(SUBCOMMANDS[name].module).main([*words, "--help"])
    return set(re.findall(r"--[a-z][\w-]*", output.getvalue()))


def commands_of(text: str) -> list[list[str]]:
    """Words of the `mmglan …` lines in fenced blocks and in backticks."""
    blocks = "\n".join(re.findall(r"```\w*\n(.*?)```", text, flags=re.S)).replace("\\\n", " ")
    lines = re.findall(r"^mmglan .*", blocks, flags=re.M) + re.findall(r"`(mmglan [^`]+)`", text)
    return [shlex.split(line.split("#")[0]) for line in lines]


@pytest.fixture(params=PAGES)
def page(request, repository):
    return repository / request.param


def test_links_and_paths_exist(repository, page):
    text = page.read_text("utf-8")
    links = [link.split("#")[0] for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text)]
    assert [link for link in links if not (page.parent / link).exists()] == []
    paths = re.findall(r"((?:data_prep|mmglan|tools|configs|tests|\.ci)/[\w./-]+\.(?:py|sh))", text)
    assert [path for path in paths if not (repository / path).exists()] == []


def test_every_page_is_in_the_navigation_of_the_site(repository):
    listed = re.findall(r"\w+\.md", (repository / "mkdocs.yml").read_text("utf-8"))
    of_the_root = {"index.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"}
    assert set(listed) == {p.name for p in (repository / "docs").glob("*.md")} | of_the_root


def test_commands_and_options_exist(page):
    wrong = []
    for words in commands_of(page.read_text("utf-8")):
        name = words[1]
        if name.startswith("--"):
            continue
        if name not in SUBCOMMANDS:
            wrong.append(name)
        elif name not in MMDET_OWN:
            options = {word for word in words if word.startswith("--")}
            wrong += [f"{name} {option}" for option in sorted(options - options_of(name))]
    assert wrong == []


def test_options_in_the_text_exist(page):
    options = set(re.findall(r"(?<![\w-])--[a-z][\w-]+", page.read_text("utf-8")))
    known = set().union(*(options_of(name) for name in SUBCOMMANDS if name not in MMDET_OWN))
    assert options - known - OTHER_OPTIONS == set()


def test_examples_give_what_they_show(repository):
    failed, attempted = doctest.testfile(str(repository / "docs/metrics.md"), False)
    assert failed == 0 and attempted >= 9


def test_a_wrong_option_is_seen():
    text = "```\nmmglan evaluate --gt a \\\n  --wrong b   # --ignored\n```\nand `mmglan nothing`"
    assert commands_of(text) == [
        ["mmglan", "evaluate", "--gt", "a", "--wrong", "b"],
        ["mmglan", "nothing"],
    ]
    assert "--gt" in options_of("evaluate") and "--wrong" not in options_of("evaluate")
