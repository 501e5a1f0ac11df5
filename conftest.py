"""What all tests share, the product's in tests/ and those of devkube: the option --full, and the
real engine."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from devkube import paths
from devkube.engine import Engine, ensure_engine
from devkube.tests.project import Project
from ops.engine_calls import past_proxies


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="full counts of the tests that repeat, and those marked soak (`make soak`)")


def pytest_configure() -> None:
    """Tests press Ctrl-C, which all processes of a job ignore that a CI runner has started in the
    background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--full"):
        left = [item for item in items if item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What is the contract of a stand-in alone is nothing to ask of the official part."""
    for marker in item.iter_markers("stand_in"):
        official = [name for name in marker.args if not ensure_engine().is_stand_in(name)]
        if official:
            pytest.skip(f"the stand-in's contract alone, and here {' and '.join(official)} is the official part")


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Whether tests that repeat something do it as often as `make soak` does."""
    return bool(request.config.getoption("--full"))


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The engine and plugins that `make up` would use."""
    return ensure_engine()


@pytest.fixture(scope="session")
def pulumi_variables(engine: Engine) -> dict[str, str]:
    """The environment of a pulumi run in a test, without a state (each program has its own)."""
    return past_proxies(engine.clean_environment())


@pytest.fixture
def project(tmp_path: Path, pulumi_variables: dict[str, str]) -> Project:
    """A small Python program with a state of its own.

    It runs in the clone's virtual environment.
    """
    return Project(tmp_path / "project", pulumi_variables, paths.VENV)
