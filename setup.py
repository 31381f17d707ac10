"""Build step: a wheel holds configs/ and tools/ in mmglan/.mim, where MIM and MMEngine look."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

FOLDERS = ("configs", "tools")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", "benchmarks", "setup.sh")


class BuildWithConfigs(build_py):
    """Copies the folders into the build; an editable install reads them where they are."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        for name in FOLDERS:
            target = Path(self.build_lib, "mmglan", ".mim", name)
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(name, target, ignore=LEFT_OUT)


setup(cmdclass={"build_py": BuildWithConfigs})
