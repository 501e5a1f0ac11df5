"""What a run shows while it works: steps of several threads over one spinner."""

from __future__ import annotations

import io
import re
import threading

import pytest
from rich.console import Console

from ops import console


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    shown = io.StringIO()
    monkeypatch.setattr(console, "console", Console(file=shown, force_terminal=True, width=100, highlight=False))
    return shown


def lines(shown: io.StringIO) -> list[str]:
    """What was written, without colours and the movements of the cursor."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "\n", shown.getvalue())
    return [line.strip() for line in plain.splitlines() if line.strip()]


def test_steps_of_two_threads_are_shown_together_and_either_may_end_first(terminal: io.StringIO) -> None:
    began, ended = threading.Event(), threading.Event()

    def other() -> None:
        with console.step("Pulumi [3.274]") as shown:
            shown.detail = "12 of at most 800 packages"
            began.set()
            assert ended.wait(30)

    thread = threading.Thread(target=other)
    with console.step("Kubernetes"):
        thread.start()
        assert began.wait(30)
        console._board.refresh()
    console._board.refresh()
    assert console._board._status, "the other one is still under way"
    ended.set()
    thread.join(30)
    assert console._board._status is None
    said = lines(terminal)
    assert any(line.startswith("Pulumi [3.274] …") and line.endswith("12 of at most 800 packages") for line in said)
    assert any(line.startswith("Kubernetes …") for line in said)
    done = [line for line in said if re.match(r"(Kubernetes|Pulumi \[3\.274\]) \(\d", line)]
    assert [line.partition(" (")[0] for line in done] == ["Kubernetes", "Pulumi [3.274]"]


def test_a_step_that_fails_is_marked_and_leaves_no_spinner(terminal: io.StringIO) -> None:
    with pytest.raises(ValueError, match="on purpose"), console.step("Kubernetes"):
        raise ValueError("on purpose")
    assert "✗" in lines(terminal)
    assert console._board._status is None
