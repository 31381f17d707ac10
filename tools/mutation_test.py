"""Mutation testing: put small faults into modules, one at a time, and see which the tests miss.

Every fault (`tools/mutants.py`) is tried in a process of its own, forked from one that has loaded
the libraries: the module is imported with the fault, no file is changed, and the module's tests run
until the first failure. Survivors are printed with the line; those listed with a reason in
`docs/mutation_testing.md` are known. Linux and macOS.

    python tools/mutation_test.py                                  # all modules named here
    python tools/mutation_test.py mmglan/detections/stacking.py    # one of them

Exit status 1 when a survivor is not known, 2 when a module's tests fail without any fault.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import multiprocessing
import os
import resource
import sys
import time
from pathlib import Path

from mutants import Mutant, mutants

ROOT = Path(__file__).resolve().parents[1]
KNOWN = ROOT / "docs" / "mutation_testing.md"
TESTS = {
    "mmglan/evaluation/matching.py": [
        "tests/evaluation/test_matching.py",
        "tests/evaluation/test_froc.py",
    ],
    "mmglan/evaluation/froc.py": ["tests/evaluation/test_froc.py"],
    "mmglan/detections/stacking.py": ["tests/detections/test_stacking.py"],
    "data_prep/pseudo_masks/grabcut.py": [
        "tests/data_prep/pseudo_masks/test_grabcut_steps.py",
        "tests/data_prep/pseudo_masks/test_grabcut.py",
    ],
    "data_prep/bookmarks/recist.py": ["tests/data_prep/bookmarks/test_recist.py"],
    "data_prep/dataset/splits/split.py": ["tests/data_prep/dataset/test_split.py"],
    "data_prep/dataset/splits/split_plan.py": ["tests/data_prep/dataset/test_split_plan.py"],
    "mmglan/models/global_rois.py": ["tests/models/test_global_rois.py"],
    "mmglan/models/uncertainty_loss.py": ["tests/models/test_uncertainty_loss.py"],
}
LIBRARIES = (
    "pytest hypothesis.strategies numpy scipy.ndimage scipy.optimize scipy.sparse.csgraph"
    " scipy.spatial.distance cv2 SimpleITK pydicom"
)
OPENMMLAB = "torch mmdet.models mmdet.structures"
PYTEST = ["-x", "-q", "-p", "no:cacheprovider", "-o", "tmp_path_retention_policy=none"]
MEMORY = 6 << 30  # bytes that a fault may take beyond what the libraries hold


def main(argv: list[str] | None = None) -> int:
    """Try all faults of the modules asked for; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="default: all")
    parser.add_argument("--lines", help="only faults on the lines A-B", metavar="A-B")
    args = parser.parse_args(argv)
    if unknown := sorted(set(args.modules) - set(TESTS)):
        parser.error(f"Expected modules among {', '.join(TESTS)} but got {', '.join(unknown)}")
    modules = args.modules or list(TESTS)
    first, last = map(int, args.lines.split("-")) if args.lines else (1, sys.maxsize)
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    sys.dont_write_bytecode = True
    _load(LIBRARIES.split())
    if any("models/" in module for module in modules):
        _load(OPENMMLAB.split())
    known = KNOWN.read_text(encoding="utf-8") if KNOWN.is_file() else ""
    rows, unexplained = [], 0
    for module in modules:
        source = (ROOT / module).read_text(encoding="utf-8")
        outcome, seconds = _run(module, source, limit=600)
        if outcome != 0:
            print(f"error: the tests of {module} fail without any fault", file=sys.stderr)
            return 2
        tried = [m for m in mutants(source) if first <= m.line(source) <= last]
        survivors = []
        for mutant in tried:
            outcome, _ = _run(module, mutant.apply(source), limit=10 + 10 * seconds)
            if outcome == 0:
                survivors.append(mutant)
                unexplained += _report(module, source, mutant, known)
        rows.append((module, len(tried), len(tried) - len(survivors)))
    print("\n| module | mutants | killed | share |\n|---|---|---|---|")
    for module, count, killed in rows:
        print(f"| `{module}` | {count} | {killed} | {killed / max(count, 1):.1%} |")
    return 1 if unexplained else 0


def _load(names: list[str]) -> None:
    for name in names:
        importlib.import_module(name)


def _report(module: str, source: str, mutant: Mutant, known: str) -> bool:
    """Print a survivor; whether no reason is known."""
    change = mutant.change(source)
    new = change not in known
    print(f"{module}:{mutant.line(source)}: {change}{'' if new else ' (known)'}", flush=True)
    return new


def _run(module: str, source: str, limit: float) -> tuple[int | None, float]:
    """Run a module's tests on another text of it: pytest's exit status, None if out of time."""
    started = time.monotonic()
    child = multiprocessing.get_context("fork").Process(target=_test, args=(module, source))
    child.start()
    child.join(limit)
    outcome = child.exitcode
    if outcome is None:
        child.kill()
        child.join()
    return outcome, time.monotonic() - started


def _test(module: str, source: str) -> None:
    import pytest
    from hypothesis import Phase, settings

    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    settings.register_profile("plain", phases=[Phase.explicit, Phase.generate], database=None)
    settings.load_profile("plain")
    sys.meta_path.insert(0, _Changed(module, source))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.exit(int(pytest.main([*PYTEST, *TESTS[module]])))


class _Changed(importlib.abc.MetaPathFinder, importlib.machinery.SourceFileLoader):
    """Imports one module from a text instead of its file."""

    def __init__(self, module: str, source: str) -> None:
        name = module.removesuffix(".py").replace("/", ".")
        super().__init__(name, str(ROOT / module))
        self.source = source

    def find_spec(self, name, path=None, target=None):
        if name == self.name:
            return importlib.util.spec_from_file_location(name, self.path, loader=self)
        return None

    def get_data(self, path):
        return self.source.encode()

    def path_stats(self, path):
        raise OSError  # no compiled file

    def invalidate_caches(self):
        """Nothing is kept."""


if __name__ == "__main__":
    sys.exit(main())
