"""Fixtures shared by all tests."""

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


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
def tiny_model(repository, tmp_path_factory) -> tuple[str, str]:
    """Paths of config and untrained weights of our detector in its tiny form."""
    from tiny_models import make_tiny_model  # imports PyTorch

    return make_tiny_model(repository, tmp_path_factory.mktemp("tiny_model"))
