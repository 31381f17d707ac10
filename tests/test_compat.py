"""The version check: what it finds, what it says, and which imports say it."""

import subprocess
import sys

import pytest

from mmglan import compat

GOOD = {"onedl-mmengine": "0.10.12", "onedl-mmcv": "2.3.6", "onedl-mmdetection": "3.5.1"}
GOOD_ORIGINAL = {"mmengine": "0.10.7", "mmcv": "2.1.0", "mmdet": "3.3.0"}


@pytest.mark.parametrize("installed", [GOOD, GOOD_ORIGINAL])
def test_both_families_are_accepted(installed):
    assert compat.find_problems(installed, has_ops=True) == []


@pytest.mark.parametrize(
    ("change", "has_ops", "text", "fix"),
    [
        (
            {"onedl-mmcv": "2.1.0"},
            True,
            "Expected onedl-mmcv>=2.3,<2.5 but got onedl-mmcv 2.1.0.",
            "'onedl-mmcv>=2.3,<2.5'",
        ),
        (
            {"onedl-mmengine": "0.10.11"},
            True,
            "Expected onedl-mmengine>=0.10.12,<0.11 but got onedl-mmengine 0.10.11.",
            "pip install 'onedl-mmengine>=0.10.12,<0.11'",
        ),
        (
            {"onedl-mmdetection": None},
            True,
            "Expected mmdet but it is not installed.",
            "pip install 'onedl-mmdetection>=3.5.1,<3.7'",
        ),
        (
            {"onedl-mmcv": None, "mmcv-lite": "2.1.0"},
            False,
            "Expected mmcv with its operators but got mmcv-lite 2.1.0.",
            "pip uninstall -y mmcv-lite && ",
        ),
        (
            {"mmcv": "2.1.0"},
            True,
            "Expected one family of mmcv but got both onedl-mmcv and mmcv",
            "pip uninstall -y onedl-mmcv mmcv && ",
        ),
        (
            {},
            False,
            "Expected onedl-mmcv with compiled operators (mmcv.ops)",
            "--force-reinstall --no-deps onedl-mmcv==2.3.6",
        ),
    ],
)
def test_each_problem_names_what_to_install(change, has_ops, text, fix):
    installed = {k: v for k, v in {**GOOD, **change}.items() if v}
    (problem,) = compat.find_problems(installed, has_ops)
    assert problem.text.startswith(text)
    assert fix in problem.fix


def _import_with(folder, code):
    """Run `code` with distributions and modules of `folder` in front of the real ones."""
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r}); {code}"],
        capture_output=True,
        text=True,
        check=False,
    )


def _distribution(folder, name, version):
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_import_with_a_wrong_mmcv_says_what_to_install(tmp_path):
    """2.2.0 is too old of one family and too new of the other."""
    installed, families = compat.installed_versions(), compat.FAMILIES.values()
    name, wanted = next(one["mmcv"] for one in families if one["mmcv"][0] in installed)
    _distribution(tmp_path, name, "2.2.0")
    done = _import_with(tmp_path, "import mmglan.models")
    assert done.returncode == 1
    assert f"Expected {name}{wanted} but got {name} 2.2.0." in done.stderr
    assert "pip install --no-build-isolation" in done.stderr


def test_import_with_an_mmcv_without_ops_says_what_to_install(tmp_path):
    (tmp_path / "mmcv").mkdir()
    (tmp_path / "mmcv" / "__init__.py").write_text("")
    done = _import_with(tmp_path, "import mmglan.models")
    assert "built without them" in done.stderr
    assert "--no-build-isolation --no-cache-dir --force-reinstall --no-deps" in done.stderr


@pytest.mark.parametrize("package", ["models", "datasets", "engine", "evaluation.lesion_metric"])
def test_the_parts_that_need_mmcv_refuse_it_without_ops(tmp_path, package):
    (tmp_path / "mmcv").mkdir()
    (tmp_path / "mmcv" / "__init__.py").write_text("")
    done = _import_with(tmp_path, f"import mmglan.{package}")
    assert done.returncode == 1
    assert "ImportError: mmglan cannot train or predict" in done.stderr


@pytest.mark.parametrize("mmcv", ["as installed", "without ops"])
def test_import_of_the_package_alone_is_silent(tmp_path, mmcv):
    if mmcv == "without ops":
        (tmp_path / "mmcv").mkdir()
        (tmp_path / "mmcv" / "__init__.py").write_text("")
    done = _import_with(tmp_path, "import mmglan; print(mmglan.__version__)")
    assert (done.stdout.strip(), done.stderr) == (compat_version(), "")


def compat_version():
    from mmglan.version import __version__

    return __version__
