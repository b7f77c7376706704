"""A driver root of the fake, with a GPU that takes memory for itself as a real one does, and the command on it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from gpu_check_runs import Run, install_driver, run_quick


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the fake driver's libraries."""
    return install_driver(tmp_path_factory.mktemp("driver"))


@pytest.fixture
def gpu_check(driver: Path, tmp_path: Path) -> Callable[..., Run]:
    """Runs the command on the fake driver."""
    return partial(run_quick, driver, tmp_path / "report")
