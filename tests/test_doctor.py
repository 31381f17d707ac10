"""The doctor: sound here, and specific about what is broken."""

import subprocess
import sys

from mmglan import compat, doctor


def test_all_well_here():
    done = subprocess.run(
        [sys.executable, "-m", "mmglan", "doctor"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "mmcv.ops                 works" in done.stdout
    assert "OpenCV" in done.stdout and "SimpleITK" in done.stdout
    assert done.stdout.rstrip().endswith("All well: mmglan can train and predict.")


def test_a_broken_library_is_named_with_its_fix(tmp_path, monkeypatch, capsys):
    (tmp_path / "pydicom.py").write_text("raise ImportError('half installed')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] in ("pydicom", "highdicom")]:
        monkeypatch.delitem(sys.modules, name)
    assert doctor.main([]) == 1
    out = capsys.readouterr().out
    assert "WRONG  Expected pydicom to import but got ImportError: half installed." in out
    assert "fix: pip install -c constraints.txt pydicom" in out
    # The other is highdicom, which imports it.
    assert out.endswith("2 problems, to be fixed in this order.\n")


def test_without_torch_the_rest_works(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert doctor.main([]) == 1
    out = capsys.readouterr().out
    assert "WRONG  Expected torch to import but got ModuleNotFoundError" in out
    assert "mmglan can prepare data, evaluate and report, but not train or predict." in out


def test_missing_opengl_is_told_from_missing_opencv(tmp_path, monkeypatch):
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cv2", raising=False)
    _, problems = doctor.describe_libraries()
    assert [problem.fix for problem in problems] == ["apt-get install libgl1"]


def test_mixed_families_are_reported(monkeypatch):
    versions = {**compat.installed_versions(), "mmcv": "2.1.0", "onedl-mmcv": "2.3.6"}
    monkeypatch.setattr(compat, "installed_versions", lambda: versions)
    _, problems = doctor.describe_mm()
    assert any("both onedl-mmcv and mmcv" in problem.text for problem in problems)
