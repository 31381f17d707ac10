"""Every import follows the table of `docs/code_map.md`, and the table has every module."""

import ast
import re
from importlib.util import resolve_name

import pytest

PACKAGES = ("data_prep", "mmglan", "tools")
GUARDED = {*PACKAGES, "tests", "torch", "mmcv", "mmengine", "mmdet", "optuna"}


def is_below(module: str, name: str) -> bool:
    return module == name or module.startswith(name + ".")


def read_table(text: str) -> dict[str, list[str]]:
    """Rooms of the table with the names that each may import, its own included."""
    groups, rooms = {}, {}
    for line in re.findall(r"^\| `.*\|$", text, flags=re.M):
        room, _, imports = (re.findall(r"`([\w.]+)`", cell) for cell in line.split("|")[1:-1])
        if f"`{room[0]}`:" in line:
            groups[room[0]] = room = room[1:]
        allowed = [name for entry in imports for name in groups.get(entry, [entry])]
        rooms |= {name: room + allowed for name in room}
    return rooms


def room_of(module: str, rooms: dict[str, list[str]]) -> str | None:
    """The longest room that holds a module; the row of a package is for its `__init__` only."""
    own_only = ("data_prep", "mmglan")
    holding = [n for n in rooms if module == n or (n not in own_only and is_below(module, n))]
    return max(holding, key=len, default=None)


def imports_of(module: str, tree: ast.AST, modules: dict[str, bool]) -> list[str]:
    """Guarded modules that a module imports, at its top or inside a function."""
    found = []
    package = module if modules.get(module) else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            names = [f"{base}.{alias.name}" for alias in node.names]
            found += [name if name in modules else base for name in names]
    return [name for name in found if name.split(".")[0] in GUARDED]


def violations(module: str, tree: ast.AST, modules: dict[str, bool], rooms: dict) -> list[str]:
    room = room_of(module, rooms)
    if room is None:
        return [f"{module} has no row"]
    return [
        f"{module} imports {name}"
        for name in imports_of(module, tree, modules)
        if name != "mmglan" and not any(is_below(name, entry) for entry in rooms[room])
    ]


@pytest.fixture(scope="module")
def files(repository):
    """Modules by dotted name."""
    paths = [path for package in PACKAGES for path in (repository / package).rglob("*.py")]
    names = [".".join(p.relative_to(repository).with_suffix("").parts) for p in paths]
    return {n.removesuffix(".__init__"): p for n, p in zip(names, paths, strict=True)}


@pytest.fixture(scope="module")
def modules(files):
    """Whether each module is a package."""
    return {name: path.name == "__init__.py" for name, path in files.items()}


@pytest.fixture(scope="module")
def rooms(repository):
    return read_table((repository / "docs" / "code_map.md").read_text("utf-8"))


def test_every_import_follows_the_map(files, modules, rooms):
    found = []
    for name, path in files.items():
        found += violations(name, ast.parse(path.read_text("utf-8")), modules, rooms)
    assert not found, "\n".join(found)


def test_every_room_of_the_map_exists(files, rooms):
    assert [room for room in rooms if not any(is_below(name, room) for name in files)] == []


@pytest.mark.parametrize(
    ("module", "line", "imported"),
    [
        ("data_prep.prepare", "import mmglan.evaluation", "mmglan.evaluation"),
        ("data_prep.volumes.x", "from data_prep import bookmarks", "data_prep.bookmarks"),
        ("data_prep.volumes.x", "from ..bookmarks import recist", "data_prep.bookmarks.recist"),
        ("mmglan.detections.x", "def f():\n    import torch.nn", "torch.nn"),
        ("mmglan.detections.x", "from mmglan import evaluation", "mmglan.evaluation"),
        ("mmglan.evaluation.x", "from mmglan import reporting", "mmglan.reporting"),
        ("mmglan.reporting.x", "from mmengine import Config", "mmengine"),
        ("mmglan.models.x", "from tools.benchmarks import step_time", "tools.benchmarks.step_time"),
    ],
)
def test_a_forbidden_import_is_seen(modules, rooms, module, line, imported):
    assert violations(module, ast.parse(line), modules, rooms) == [f"{module} imports {imported}"]
