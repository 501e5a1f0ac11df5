"""Two programs that are joined, and what is said of one that fails, hangs or is killed.

The programs are real, and run on this machine.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Any, cast

import pytest

from components.canary.signals import Interrupted
from ops.move import conversation
from ops.move.conversation import Broken, Stalled, alone, joined, together
from ops.move.ends import End, usage
from ops.move.process import OnThisMachine

HEAD = """
import hashlib, json, os, sys, time
def say(event, **more):
    print(json.dumps({"event": event, **more}), file=sys.stderr, flush=True)
"""
SIZE = 30_000_000
SEND = f"""
sent = hashlib.blake2b()
for _ in range({SIZE} // 100_000):
    part = os.urandom(100_000)
    sent.update(part)
    sys.stdout.buffer.write(part)
sys.stdout.buffer.flush()
answer = sys.stdin.buffer.read(64)
say("done", same=answer == sent.digest())
"""
RECEIVE = f"""
got = hashlib.blake2b()
left = {SIZE}
while left:
    part = sys.stdin.buffer.read(min(left, 100_000))
    got.update(part)
    left -= len(part)
sys.stdout.buffer.write(got.digest())
sys.stdout.buffer.flush()
say("done")
"""


def program(text: str, name: str = "it") -> OnThisMachine:
    return OnThisMachine([sys.executable, "-c", HEAD + text], name)


def heard() -> tuple[list[dict[str, Any]], Any]:
    events: list[dict[str, Any]] = []
    return events, events.append


def test_what_one_sends_the_other_gets_and_answers() -> None:
    sent, _ = joined(program(SEND), program(RECEIVE), lambda *_: None, threading.Event())
    assert sent["same"] is True


def test_a_slow_receiver_is_waited_for() -> None:
    slow = "time.sleep(1)\n" + RECEIVE.replace("got.update(part)", "got.update(part); time.sleep(0.001)")
    sent, _ = joined(program(SEND), program(slow), lambda *_: None, threading.Event(), silence=5)
    assert sent["same"] is True


def test_events_are_heard_and_stdout_is_returned() -> None:
    events, hear = heard()
    assert alone(program("say('entry', path='a'); print('{}'); say('done')"), hear, threading.Event()) == b"{}\n"
    assert events == [{"event": "entry", "path": "a"}, {"event": "done"}]


def test_of_two_side_by_side_each_is_heard_until_both_have_ended() -> None:
    quick, slow = program("say('entry', path='a'); say('done')"), program("time.sleep(1); say('entry', path='b'); say('done')")
    events: list[tuple[object, str]] = []
    together([quick, slow], lambda process, event: events.append((process, str(event.get("path", event["event"])))), threading.Event())
    assert events == [(quick, "a"), (quick, "done"), (slow, "b"), (slow, "done")]


def test_one_of_two_side_by_side_that_fails_is_named_and_the_other_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "LAST_WORDS", 0.5)
    pids: list[int] = []
    endless = program("say('alive', pid=os.getpid()); time.sleep(60)", "the source")
    failing = program("time.sleep(0.5); say('failed', reason='Input/output error', path='a'); sys.exit(1)", "the target")
    with pytest.raises(Broken, match=r"^a: Input/output error$"):
        together([endless, failing], lambda _, event: pids.extend(each for each in [event.get("pid")] if each), threading.Event())
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_one_that_says_why_is_quoted_with_its_path() -> None:
    failing = "say('failed', path='a/b', reason='No space left on device', kind='full'); sys.exit(1)"
    sending = "sys.stdin.buffer.read(1); say('failed', reason='the stream has ended', kind='protocol'); sys.exit(1)"
    with pytest.raises(Broken) as caught:
        joined(program(sending), program(failing), lambda *_: None, threading.Event())
    assert str(caught.value) == "a/b: No space left on device"
    assert not caught.value.passing


def test_a_killed_one_is_named_whatever_the_other_says() -> None:
    sending = "sys.stdin.buffer.read(1); say('failed', reason='the stream has ended', kind='protocol'); sys.exit(1)"
    killed = f"os.kill(os.getpid(), {int(signal.SIGKILL)})"
    with pytest.raises(Broken, match="the receiver is gone: it was killed") as caught:
        joined(program(sending), program(killed, "the receiver"), lambda *_: None, threading.Event())
    assert caught.value.passing


def test_one_without_a_sign_of_life_is_dead_though_its_stream_is_open() -> None:
    with pytest.raises(Broken, match="the source has given no sign of life for 1 s"):
        alone(program("print('x', flush=True); time.sleep(60)", "the source"), lambda _: None, threading.Event(), silence=1)


def test_one_that_says_it_is_alive_may_take_its_time() -> None:
    alive = "\nfor _ in range(8):\n    say('alive')\n    time.sleep(0.25)\nsay('done')"
    assert alone(program(alive), lambda _: None, threading.Event(), silence=1) == b""


def test_an_exit_without_a_word_is_no_success() -> None:
    with pytest.raises(Broken, match="it ended with exit status 0"):
        joined(program(""), program("say('done')"), lambda *_: None, threading.Event())


def test_a_list_whose_end_was_lost_on_the_way_is_no_list() -> None:
    with pytest.raises(Broken, match="it ended with exit status 0, and its last words were lost") as caught:
        alone(program("say('entry', path='a')"), lambda _: None, threading.Event())
    assert caught.value.passing


def test_a_size_that_was_lost_on_the_way_is_told() -> None:
    class Lossy:
        title = "dev data-postgres-0"

        def run(self, *_: str) -> OnThisMachine:
            return program("print('{\"used'); say('done')")

    with pytest.raises(Broken, match="dev data-postgres-0: what its usage is was lost on the way") as caught:
        usage(cast(End, Lossy()), threading.Event())
    assert caught.value.passing


def test_what_python_itself_says_is_the_reason_where_there_is_no_other() -> None:
    with pytest.raises(Broken, match="it ended with exit status 1: ValueError: no"):
        alone(program("raise ValueError('no')"), lambda _: None, threading.Event())


def test_a_stop_ends_it_soon_and_the_programs_too() -> None:
    stop = threading.Event()
    running = program("say('alive', pid=os.getpid()); time.sleep(60)")
    pids: list[int] = []

    def hear(event: dict[str, Any]) -> None:
        pids.append(event["pid"])
        stop.set()

    began = time.monotonic()
    with pytest.raises(Interrupted):
        alone(running, hear, stop)
    assert time.monotonic() - began < 30
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_storage_that_never_answers_ends_both_with_who_waits_for_what() -> None:
    stuck = """
for _ in range(40):
    say('alive', work=0, asked='syncs', path='base/1', seconds=1)
    time.sleep(0.25)
"""
    waiting = "\nfor _ in range(40):\n    say('alive', work=1)\n    time.sleep(0.25)"
    with pytest.raises(Stalled, match=r"^nothing has gone on for 2 s: the target syncs base/1, and its storage does not answer$") as caught:
        joined(program(waiting, "the source"), program(stuck, "the target"), lambda *_: None, threading.Event(), stalled=2)
    assert caught.value.passing


def test_one_that_works_is_waited_for_though_it_says_nothing_else() -> None:
    """A sync of gigabytes takes processor time, a little with each part that is on the disk."""
    working = "\nfor number in range(16):\n    say('alive', work=number * 4, asked='syncs', path='a')\n    time.sleep(0.25)\nsay('done')"
    assert alone(program(working), lambda _: None, threading.Event(), stalled=2) == b""
