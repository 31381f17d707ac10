"""Faults for mutation testing: which ones a module gets, and whether tests are told to fail."""

import subprocess
import sys
from importlib import util

import pytest


@pytest.fixture(scope="module")
def load(repository):
    """Import a script of `tools/` by its name."""

    def load(name):
        spec = util.spec_from_file_location(name, repository / "tools" / f"{name}.py")
        module = sys.modules[name] = util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def changed(load, line):
    """The faults of a module of one line."""
    return {mutant.apply(line) for mutant in load("mutants").mutants(line)}


@pytest.mark.parametrize(
    ("line", "faults"),
    [
        ("x = a < b", {"x = a <= b", "x = a >= b"}),
        ("x = a is not b", {"x = a is b"}),
        ("x = a + b * c", {"x = a - b * c", "x = a + b / c"}),
        ("x = a and not b", {"x = a or not b", "x = a and b"}),
        ("x = 3, 0.5, 0.0, True", {
            "x = 4, 0.5, 0.0, True", "x = 3, 1.0, 0.0, True",
            "x = 3, 0.5, 1.0, True", "x = 3, 0.5, 0.0, False",
        }),
        ("x = f(a, key=b)", {"x = f(a)"}),
        ("x = f(key=b, other=c)", {"x = f(other=c)", "x = f(key=b)"}),
        ("x = np.minimum(a, b)", {"x = np.maximum(a, b)"}),
        ("x = a if b else c", {"x = a if (not (b)) else c"}),
        ("def f(a=1): return a", {"def f(a=2): return a", "def f(a=1): return None"}),
        ("f(a)", {"pass"}),
        ("x[a] = b", {"pass"}),
        ("x = 'é' + y", {"x = 'other é' + y", "x = 'é' - y"}),
        # Texts of errors, docstrings, annotations and `strict` stay.
        ("raise ValueError(f'got {1 + 1}')", {"pass"}),
        ("'docstring of 3 words'", set()),
        ("def f(a: 'A' = b) -> 'B': pass", set()),
        ("x = zip(a, b, strict=True)", set()),
    ],
)  # fmt: skip
def test_faults_of_a_line(load, line, faults):
    assert changed(load, line) == faults


def test_a_fault_is_shown_by_its_line(load):
    source = "# é\nx = f(\n    1,\n    a < b,\n)\n"
    mutant = next(m for m in load("mutants").mutants(source) if m.text == "<=")
    assert mutant.line(source) == 4
    assert mutant.change(source) == "`a < b,` → `a <= b,`"


def test_a_module_with_a_fault_fails_its_tests_and_its_file_stays(repository):
    module = "mmglan/detections/stacking.py"
    source = (repository / module).read_text()
    (line,) = (i for i, text in enumerate(source.splitlines(), 1) if text.startswith("STACK_IOU"))
    command = [sys.executable, "tools/mutation_test.py", module, "--lines", f"{line}-{line}"]
    result = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"| `{module}` | 1 | 1 | 100.0% |" in result.stdout
    assert (repository / module).read_text() == source
