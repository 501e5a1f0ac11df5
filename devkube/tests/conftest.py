"""What several of these tests begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from devkube import paths
from devkube.cluster import embedded, kind


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing on it: no kubeconfig, no cluster, no Docker.

    An embedded cluster would be possible.
    """
    monkeypatch.setattr(paths, "MACHINE_STATE", tmp_path / "lib")
    monkeypatch.setattr(paths, "MACHINE_RUN", tmp_path / "run")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "user")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr(kind, "lacking", lambda: ["no kind here"])
    monkeypatch.setattr(embedded, "lacking", list)
    return tmp_path
