"""What a person, and a program, sees of moves that are under way."""

from __future__ import annotations

import io
import json
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from ops.move import showing
from ops.move.conversation import Broken
from ops.move.ends import FolderEnd
from ops.move.run import VolumeMove
from ops.move.session import each_of


@pytest.fixture
def move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> VolumeMove:
    """In mid-copy: 30 of 90 MiB, in ten seconds."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    found = VolumeMove("kafka-1", FolderEnd(tmp_path / "a"), FolderEnd(tmp_path / "b"), threading.Event())
    found.progress.begin("copying", 90 * 2**20, 9)
    found.progress.take({"event": "progress", "bytes": 30 * 2**20, "files": 3})
    found.progress.since = time.monotonic() - 10
    return found


def test_lines_have_bytes_rate_and_time_left(move: VolumeMove, capsys: pytest.CaptureFixture[str]) -> None:
    with showing.shown([move], as_json=False) as look:
        look()
        look()
    assert capsys.readouterr().out.splitlines() == ["  kafka-1: copying, 30.0 MiB of 90.0 MiB, 3 MB/s, about 20 s left"], "one for a phase"


def test_a_terminal_has_a_bar_with_bytes_rate_and_time_left(move: VolumeMove, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(showing, "console", Console(file=screen, force_terminal=True, width=120, color_system=None))
    with showing.shown([move], as_json=False) as look:
        look()
        for part in range(31, 61):
            move.progress.bytes = part * 2**20
            time.sleep(0.01)
            look()
    last = screen.getvalue().rpartition("kafka-1: copying")[2]
    assert "60.0/90.0 MiB" in last
    assert "/s" in last
    assert "0:0" in last, "the time that is left"


def test_one_that_has_failed_is_told_while_others_go_on(move: VolumeMove, capsys: pytest.CaptureFixture[str]) -> None:
    """What was wrong is said at the end: that may be hours later."""

    def fails(_: VolumeMove) -> None:
        raise Broken("pod x is gone")

    with showing.shown([move], as_json=True) as look:
        each_of([move], fails, 1, threading.Event(), look)
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["phase"] == "failed"


def test_programs_read_lines_of_json(move: VolumeMove, capsys: pytest.CaptureFixture[str]) -> None:
    with showing.shown([move], as_json=True) as look:
        look()
    said = capsys.readouterr()
    event = json.loads(said.err)
    assert said.out == ""
    assert (event["phase"], event["volume"], event["bytes"], event["ofBytes"]) == ("copying", "kafka-1", 30 * 2**20, 90 * 2**20)
