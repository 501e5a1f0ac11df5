"""The used bytes of a volume: read here, or asked of the node whose user may look there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ops.volumes import usage
from ops.volumes.found import VolumesFolder
from tests.unit.volume_objects import volume


class AskedNode:
    """A dev cluster's node, which notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def used(self, path: str) -> int | None:
        self.asked.append(path)
        return None if path.endswith("gone") else 8192


def used(folder: VolumesFolder | None, *paths: str) -> Any:
    there = [volume(Path(path).name, local={"path": path}) for path in paths]
    return usage.used_bytes(there, None, folder)  # type: ignore[arg-type]


def test_what_this_user_may_not_read_the_node_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "closed").mkdir()
    size = usage._size
    monkeypatch.setattr(usage, "_size", lambda path: None if path.name == "closed" else size(path))
    node = AskedNode()
    found = used(VolumesFolder(tmp_path, "/volumes", node.used), "/volumes/open", "/volumes/closed", "/elsewhere/pv")
    assert found == {"open": 0, "closed": 8192}
    assert node.asked == ["/volumes/closed"]


def test_a_directory_that_cant_even_be_found_here(tmp_path: Path) -> None:
    node = AskedNode()
    assert used(VolumesFolder(tmp_path, "/volumes", node.used), "/volumes/inside/a", "/volumes/gone") == {"a": 8192}
    assert used(VolumesFolder(tmp_path, "/volumes"), "/volumes/inside/a") == {}
    assert used(None, "/volumes/a") == {}
