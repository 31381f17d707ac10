"""Fixtures shared by all tests."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # No smooth scrolling: a click must not race with it.
    "--force-prefers-reduced-motion",
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(autouse=True)
def _environment():
    """What a test sets in the environment, or a command that it calls, ends with it."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(autouse=True)
def _default_scope():
    """The default scope of MMEngine's registries, which every runner sets, ends with its test."""
    before = dict(_scopes())
    yield
    scopes = _scopes()
    for name in scopes.keys() - before.keys():
        del scopes[name]


def _scopes() -> dict:
    registry = sys.modules.get("mmengine.registry")  # not imported for tests that do without
    return registry.DefaultScope._instance_dict if registry else {}


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the source tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data beside the source tree; its tests are skipped where it is absent."""
    path = REPOSITORY.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip("shared data not present")
    return path


@pytest.fixture(scope="session")
def node_packages() -> Path:
    """Install the pinned packages where that has not been done, into a folder git ignores."""
    node = REPOSITORY / "tests/inference/node"
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm (Node.js) not installed")
    with open(node / "package.json") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test processes install it once
        if not (node / "node_modules/.package-lock.json").exists():
            line = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            done = subprocess.run(line, cwd=node, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip("@cornerstonejs/adapters and dcmjs (npm) could not be installed")
    return node


@pytest.fixture(scope="session")
def tiny_model(repository, tmp_path_factory) -> tuple[str, str]:
    """Paths of config and untrained weights of our detector in its tiny form."""
    from tiny_models import make_tiny_model  # imports PyTorch

    return make_tiny_model(repository, tmp_path_factory.mktemp("tiny_model"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium without a window; the test is skipped where there is none."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver_path = shutil.which("chromedriver")
    if not path or not driver_path:
        missing = "Chromium (chromium)" if not path else "Chromium's driver (chromedriver)"
        pytest.skip(f"{missing} is not installed; .ci/install_browser.sh installs it")
    options = webdriver.ChromeOptions()
    options.binary_location = path
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(driver_path))
    yield driver
    driver.quit()
