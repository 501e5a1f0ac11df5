"""What this tool says, with a reporter of its user's and without one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from devkube import progress
from devkube.errors import MachineError


class Lines:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.detail = ""

    def say(self, text: str) -> None:
        self.lines.append(text)

    @contextmanager
    def step(self, title: str, *, estimate: float | None = None) -> Iterator[Lines]:
        self.say(f"{title} {estimate}")
        yield self
        self.say(f"{title} {self.detail}")


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    # What it was before comes back after the test.
    monkeypatch.setattr(progress, "_reporter", progress.PlainLines())
    made = Lines()
    progress.report_to(made)
    return made


def test_a_reporter_gets_every_line_and_step(lines: Lines, capsys: pytest.CaptureFixture[str]) -> None:
    progress.say("one")
    with progress.step("two", estimate=3) as shown:
        shown.detail = "half of it"
    assert lines.lines == ["one", "two 3", "two half of it"]
    assert capsys.readouterr().out == ""


def test_without_one_lines_are_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "_reporter", progress.PlainLines())
    progress.say("one")
    with progress.step("two", estimate=30) as shown:
        shown.detail = "half of it"
    with pytest.raises(MachineError), progress.step("three"):
        raise MachineError("on purpose")
    said = re.sub(r"\d\.\d s", "… s", capsys.readouterr().out)
    assert said == "one\ntwo … about 30 s\ntwo: done (… s, half of it)\nthree …\nthree: failed (… s)\n"


def test_what_remains_of_all_that_were_announced(lines: Lines) -> None:
    assert progress.remains("one", 30) == "", "nothing was announced"
    with progress.announced({"one": 120, "two": 300}):
        with progress.step("one"):
            assert progress.remains("one", 60) == ", about 6 min left in all"
        assert progress.remains("two", 200) == ", about 3 min left in all", "the first one is done"
        assert progress.remains("two", 20) == ", about 20 s left in all"
        assert progress.remains("three", 20) == ""
    assert progress.remains("two", 20) == ""
