"""What all tests share, the product's in tests/ and those of devkube: the option --full, and the
real engine."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from devkube import paths
from devkube.engine import Engine, ensure_engine
from devkube.tests.project import Project
from ops.engine_calls import past_proxies

# Tests install Python environments of which they load a few modules: those are compiled then, and
# the thousands of others never.
os.environ["PIP_NO_COMPILE"] = "1"

# Files of tests/integration and tests/kind that take minutes. The quick ones come last: so two
# processes that take the next file each (`make test`) end at about the same time.
LONGEST_FIRST = (
    # With clusters of their own: the one that a process's tests share isn't there yet. Once it is,
    # it takes a fifth of a processor, whatever is tested.
    "test_two_clones",  # two of them: beside the next one, which has but one
    "test_dev_stack_on_kind",
    "test_machine_faults",
    "test_rehearsal",
    "test_lost_clusters",
    "test_make_up_heals",
    "test_clean_clone",
    "test_snapshots",
    # On the shared one, the longest first.
    "test_healing",
    "test_adoption",
    "test_dev_stack",
    "test_canary",
    "test_move",
    "test_destroy",
    "test_canary_faults",
    "test_guarded_changes",
    "test_drift",
    "test_acceptance",
    "test_move_mirror",
    "test_canary_clusters",
    "test_docs",
    "test_plain_pulumi",
)
FOLDERS = ("tests/integration", "tests/kind", "devkube/tests", "tests/engine", "tests/oracles", "tests/unit")


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
    items.sort(key=turn)


def turn(item: pytest.Item) -> tuple[int, int]:
    """When the item's file has its turn: as in LONGEST_FIRST, then folder by folder."""
    name, folder = item.path.stem, item.path.parent.relative_to(paths.ROOT).as_posix()
    turn_of_folder = FOLDERS.index(folder) if folder in FOLDERS else len(FOLDERS)
    long = name in LONGEST_FIRST and turn_of_folder < 2  # a unit test can have the same name
    return LONGEST_FIRST.index(name) if long else len(LONGEST_FIRST), turn_of_folder


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
