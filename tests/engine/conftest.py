from __future__ import annotations

from pathlib import Path

import pytest

from devkube import paths
from tests.engine.project import Project


@pytest.fixture
def project(tmp_path: Path, pulumi_variables: dict[str, str]) -> Project:
    """A small Python program with a state of its own; it runs in the clone's virtual environment."""
    return Project(tmp_path / "project", pulumi_variables, paths.VENV)
