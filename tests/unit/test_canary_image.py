"""How the dev stack's canary image gets on a cluster: from packages or by a pull, each in the
other's place."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from dev import lifecycle
from devkube.cluster import EmbeddedCluster, KindCluster
from devkube.errors import MachineError

LOADED = "loaded image.tar"
PULLED = "pulled docker.io/library/python:3.13-slim as storage-tiers.local/python:1"


class Ways:
    """Which of the two ways work, and which were gone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, broken: tuple[str, ...], apt: bool, there: bool) -> None:
        self.gone: list[str] = []
        self.broken = broken
        monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/apt-get" if apt else None)
        monkeypatch.setattr(lifecycle, "build_image", lambda _: self.way("packages", Path("image.tar")))
        monkeypatch.setattr(KindCluster, "has_pulled", lambda *_: there)
        monkeypatch.setattr(
            KindCluster, "pull_image", lambda _, official, name: self.gone.append(self.way("pull", f"pulled {official} as {name}"))
        )
        for kind in (KindCluster, EmbeddedCluster):
            monkeypatch.setattr(kind, "load_image", lambda _, archive: self.gone.append(f"loaded {archive.name}"))

    def way(self, name: str, value: Any) -> Any:
        if name in self.broken:
            raise MachineError(f"no {name}")
        return value


@pytest.mark.parametrize(
    ("apt", "broken", "gone"),
    [
        (True, (), [LOADED]),
        (False, (), [PULLED]),
        (True, ("packages",), [PULLED]),  # apt-get is there, and reaches nothing
        (False, ("pull",), [LOADED]),
    ],
)
def test_on_kind(apt: bool, broken: tuple[str, ...], gone: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ways = Ways(monkeypatch, broken=broken, apt=apt, there=False)
    lifecycle._load_canary_image(KindCluster("dev-1", "c", tmp_path))
    assert ways.gone == gone


def test_one_that_was_pulled_is_neither_built_nor_pulled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ways = Ways(monkeypatch, broken=(), apt=True, there=True)
    lifecycle._load_canary_image(KindCluster("dev-1", "c", tmp_path))
    assert ways.gone == []


def test_with_neither_both_causes_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Ways(monkeypatch, broken=("pull", "packages"), apt=True, there=False)
    with pytest.raises(MachineError) as caught:
        lifecycle._load_canary_image(KindCluster("dev-1", "c", tmp_path))
    assert "no packages\nno pull" in str(caught.value)
    assert "canary.image" in str(caught.value)


def test_an_embedded_node_can_only_have_it_from_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ways = Ways(monkeypatch, broken=(), apt=True, there=False)
    lifecycle._load_canary_image(EmbeddedCluster("dev-1", "c", tmp_path))
    assert ways.gone == [LOADED]
