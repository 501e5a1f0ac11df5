"""Attributes beside the files of a state, which a killed run has written in part."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.healing import attributes

WHOLE = '{"user.content_type":"application/json","user.metadata":null,"md5":"Gzt8zgXoafaUcn4F8RnGEQ=="}\n'


def write(state: Path, name: str, content: str = WHOLE) -> Path:
    path = state / ".pulumi" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


@pytest.mark.parametrize("content", ["", WHOLE[:1], WHOLE[:40], "\0" * 60, "null"])
def test_what_is_not_whole_goes_and_the_state_stays(content: str, tmp_path: Path) -> None:
    state = write(tmp_path, "stacks/storage-tiers/dev.json", "{}")
    half = [
        write(tmp_path, f"stacks/storage-tiers/{name}.attrs", content)
        for name in ("dev.json", "dev.json.bak", "dev.json.gz", "dev.json.gz.bak")
    ]
    half.append(write(tmp_path, "history/storage-tiers/dev/dev-1790000000.history.json.attrs", content))
    assert attributes.remove_half_written(tmp_path, "dev") == len(half)
    assert not any(path.exists() for path in half)
    assert state.exists()


def test_what_is_whole_stays(tmp_path: Path) -> None:
    whole = write(tmp_path, "stacks/storage-tiers/dev.json.attrs")
    assert attributes.remove_half_written(tmp_path, "dev") == 0
    assert whole.exists()


def test_other_stacks_and_projects_are_let_alone(tmp_path: Path) -> None:
    others = [write(tmp_path, f"stacks/{name}.json.attrs", "") for name in ("storage-tiers/dev2", "storage-tiers/prod", "elsewhere/dev")]
    assert attributes.remove_half_written(tmp_path, "dev") == 0
    assert all(path.exists() for path in others)


def test_no_state_at_all(tmp_path: Path) -> None:
    assert attributes.remove_half_written(tmp_path, "dev") == 0
