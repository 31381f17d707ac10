"""Which OpenMMLab packages are installed, and what to install when they do not fit.

MMEngine, MMCV and MMDetection exist in two families with the same import names: the maintained
`onedl-*` packages and OpenMMLab's own. Neither checks the other's versions, and mmcv installs
without its compiled operators, and without a message, if torch is missing at build time. The checks
read package metadata only, so they cost milliseconds and import neither torch nor mmcv.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.specifiers import SpecifierSet

# Import name → (distribution, versions that work), by family.
FAMILIES = {
    "onedl": {
        "mmengine": ("onedl-mmengine", ">=0.10.12,<0.11"),
        "mmcv": ("onedl-mmcv", ">=2.3,<2.5"),
        "mmdet": ("onedl-mmdetection", ">=3.5.1,<3.7"),
    },
    "openmmlab": {
        "mmengine": ("mmengine", ">=0.10.4,<0.11"),
        "mmcv": ("mmcv", ">=2.1,<2.2"),
        "mmdet": ("mmdet", ">=3.3,<3.4"),
    },
}
_LITE = {"mmcv": "mmcv-lite", "mmengine": "mmengine-lite"}
_BUILD_MMCV = (
    "pip install 'setuptools>=80,<81' wheel ninja && "
    "pip install --no-build-isolation --no-cache-dir {spec}"
)


@dataclass(frozen=True)
class Problem:
    """Something wrong with the installation.

    Attributes:
        text: What was expected and what was found, one line.
        fix: Shell command that fixes it.
    """

    text: str
    fix: str

    def __str__(self) -> str:
        return f"{self.text} Fix: {self.fix}"


def installed_versions() -> dict[str, str]:
    """Return the version of every installed distribution of both families."""
    names = [spec[0] for family in FAMILIES.values() for spec in family.values()]
    found = {}
    for name in [*names, *_LITE.values()]:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def mmcv_has_ops() -> bool:
    """Whether the installed mmcv carries its compiled extension, without importing it."""
    spec = importlib.util.find_spec("mmcv")
    folders = (spec.submodule_search_locations or []) if spec else []
    return any(
        path.suffix in (".so", ".pyd") for folder in folders for path in Path(folder).glob("_ext.*")
    )


def find_problems(installed: Mapping[str, str], has_ops: bool) -> list[Problem]:
    """Compare what is installed with what mmglan needs.

    Args:
        installed: Distribution name → version, as `installed_versions` gives it.
        has_ops: Whether mmcv has its compiled operators.

    Returns:
        The problems, most fundamental first; empty if all is well.
    """
    problems = []
    for package in FAMILIES["onedl"]:
        both = [
            family[package][0] for family in FAMILIES.values() if family[package][0] in installed
        ]
        lite = _LITE.get(package)
        if len(both) == 2:
            problems.append(
                Problem(
                    f"Expected one family of {package} but got both {both[0]} and {both[1]}, which "
                    "overwrite each other's files.",
                    f"pip uninstall -y {both[0]} {both[1]} && {_install(package, 'onedl')}",
                )
            )
        elif both:
            problems += _version_problem(package, both[0], installed[both[0]])
        elif lite in installed:
            problems.append(
                Problem(
                    f"Expected {package} with its operators but got {lite} {installed[lite]}.",
                    f"pip uninstall -y {lite} && {_install(package, 'openmmlab')}",
                )
            )
        else:
            problems.append(
                Problem(f"Expected {package} but it is not installed.", _install(package, "onedl"))
            )
    mmcv = next((f["mmcv"] for f in FAMILIES.values() if f["mmcv"][0] in installed), None)
    if mmcv and not has_ops:
        spec = f"{mmcv[0]}=={installed[mmcv[0]]}"
        problems.append(
            Problem(
                f"Expected {mmcv[0]} with compiled operators (mmcv.ops) but it was built without "
                "them: torch was missing when it was built.",
                rebuild_mmcv(spec),
            )
        )
    return problems


def require_openmmlab() -> None:
    """Refuse to go on when the installation cannot work.

    Raises:
        ImportError: With every problem and the command that fixes it.
    """
    problems = find_problems(installed_versions(), mmcv_has_ops())
    if problems:
        raise ImportError(describe(problems))


def rebuild_mmcv(spec: str) -> str:
    """Command that builds the installed mmcv again, for the torch that is installed."""
    return _BUILD_MMCV.format(spec=f"--force-reinstall --no-deps {spec}")


def describe(problems: list[Problem]) -> str:
    """Format the problems as one readable message."""
    lines = [f"  - {problem.text}\n    Fix: {problem.fix}" for problem in problems]
    head = "mmglan cannot train or predict with the packages that are installed:"
    return "\n".join([head, *lines, "Details: mmglan doctor"])


def _version_problem(package: str, name: str, version: str) -> list[Problem]:
    """Return the problem of an installed distribution with a version out of range, if any."""
    family = next(key for key, value in FAMILIES.items() if value[package][0] == name)
    _, wanted = FAMILIES[family][package]
    if SpecifierSet(wanted).contains(version, prereleases=True):
        return []
    text = f"Expected {name}{wanted} but got {name} {version}."
    return [Problem(text, _install(package, family))]


def _install(package: str, family: str) -> str:
    """Command that installs a fitting version of one package."""
    spec = "'{}{}'".format(*FAMILIES[family][package])
    return _BUILD_MMCV.format(spec=spec) if package == "mmcv" else f"pip install {spec}"
