"""The program beside the data: two real processes, joined by pipes, on real file systems."""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ops.move.comparison import compare
from ops.move.program.journal import Journal
from ops.move.program.reading import CHUNK
from ops.move.program.stream import header, packed
from ops.move.program.voice import Failed
from tests.faults import move_tree
from tests.faults.move_tree import show

PROGRAM = Path(__file__).parents[2] / "ops" / "move" / "program" / "mover.py"
ID = "a-move"
MARKER = ".storage-tiers-move"
# Root without some of its rights: PR_CAPBSET_DROP (24) takes them from what is executed.
WITHOUT_RIGHTS = """
import ctypes, os, sys
for capability in sys.argv[1].split(","):
    assert ctypes.CDLL(None).prctl(24, int(capability), 0, 0, 0) == 0
os.execv(sys.argv[2], sys.argv[2:])
"""
# A disk that doesn't take something: fsync fails for what has such a name, once. And one that
# takes nothing before it is told to: a name is refused that a crash would leave without a line.
A_BAD_DISK = """
import os, re, runpy, sys
pattern, synced, fsync, rename = re.compile(sys.argv[1]), b"", os.fsync, os.rename
def failing(fd):
    global pattern, synced
    where = os.readlink(f"/proc/self/fd/{fd}")
    if pattern and pattern.search(where):
        pattern = None
        raise OSError(5, "EIO")
    fsync(fd)
    if where.endswith("/.storage-tiers-move"):
        synced = open(where, "rb").read()
def strict(one, other):
    if b'"path":"%s"' % other.partition(b"/target/")[2] not in synced:
        raise OSError(77, "not told of")
    rename(one, other)
os.fsync, os.rename = failing, strict
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
READING = "1,2"  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
MKNOD, SETFCAP = "27", "31"
CAPABLE = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)  # `cap_net_bind_service=ep`, as the kernel has it
ENDING = 60  # seconds for a program to end; it is over in one or two
Event = dict[str, Any]
Relay = Callable[[int, int], None]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    if os.geteuid() != 0:
        pytest.skip("only root can give files to others")
    folder = tmp_path / "source"
    folder.mkdir()
    move_tree.make(str(folder), files=150, large=2**23, seed=1)
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    (folder / "lost+found").mkdir(parents=True)
    return folder


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A source that is small, and anybody's."""
    folder = tmp_path / "plain"
    (folder / "sub").mkdir(parents=True)
    (folder / "one").write_bytes(b"first")
    (folder / "sub" / "two").write_bytes(random.Random(2).randbytes(CHUNK + CHUNK // 2))
    return folder


class Program:
    """One running mode; what it says is collected."""

    def __init__(self, mode: str, root: Path, *more: str, stdin: int, stdout: int, without: str = "", bad: str = "") -> None:
        command = [sys.executable, "-IB", *(["-c", A_BAD_DISK, bad] if bad else []), str(PROGRAM), mode, "--root", str(root), *more]
        if without:
            command = [sys.executable, "-c", WITHOUT_RIGHTS, without, *command]
        self.process = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE)
        self.events: list[Event] = []
        self.other_words: list[bytes] = []
        self._thread = threading.Thread(target=self._hear, daemon=True)
        self._thread.start()

    def _hear(self) -> None:
        assert self.process.stderr
        with self.process.stderr:
            for line in self.process.stderr:
                try:
                    self.events.append(json.loads(line))
                except ValueError:
                    self.other_words.append(line)

    def wait(self) -> int:
        try:
            status = self.process.wait(ENDING)
        finally:
            self.process.kill()
        self._thread.join()
        if status >= 0:  # it wasn't killed
            assert not self.other_words, "a traceback is no answer"
            assert (self.events[-1]["event"] == "done") == (status == 0)
        return status

    def told(self, event: str) -> list[Event]:
        return [{key: value for key, value in each.items() if key != "event"} for each in self.events if each["event"] == event]


class Move:
    """Sender, receiver, and what carries the bytes between them: `cat` each way, or `relay`."""

    def __init__(
        self, source: Path, target: Path, *, relay: Relay | None = None, without: tuple[str, str] = ("", ""), bad: str = ""
    ) -> None:
        out, to_relay, from_relay, back = os.pipe(), os.pipe(), os.pipe(), os.pipe()
        self.sender = Program("send", source, stdin=back[0], stdout=out[1], without=without[0])
        self.receiver = Program("receive", target, "--move", ID, stdin=from_relay[0], stdout=to_relay[1], without=without[1], bad=bad)
        for each in (back[0], out[1], from_relay[0], to_relay[1]):
            os.close(each)
        self.carriers = [subprocess.Popen(["cat"], stdin=to_relay[0], stdout=back[1])]
        self.thread: threading.Thread | None = None
        if relay:
            self.thread = threading.Thread(target=_relayed, args=(relay, out[0], from_relay[1]), daemon=True)
            self.thread.start()
        else:
            self.carriers.append(subprocess.Popen(["cat"], stdin=out[0], stdout=from_relay[1]))
            os.close(out[0])
            os.close(from_relay[1])
        os.close(to_relay[0])
        os.close(back[1])

    def wait(self) -> tuple[int, int]:
        try:
            statuses = self.sender.wait(), self.receiver.wait()
        finally:
            for each in (self.sender.process, self.receiver.process):
                each.kill()
        for each in self.carriers:
            each.wait(ENDING)
        if self.thread:
            self.thread.join(ENDING)
        return statuses

    def failures(self) -> list[Event]:
        return self.sender.told("failed") + self.receiver.told("failed")


def _relayed(relay: Relay, source: int, target: int) -> None:
    try:
        with suppress(BrokenPipeError):
            relay(source, target)
    finally:
        os.close(source)
        os.close(target)


def _carry(source: int, target: int, change: Callable[[int, bytearray], None] = lambda _, __: None) -> None:
    position = 0
    while data := bytearray(os.read(source, 2**16)):
        change(position, data)
        position += len(data)
        with memoryview(data) as rest:
            done = 0
            while done < len(rest):
                done += os.write(target, rest[done:])


def run(mode: str, root: Path, *more: str, status: int = 0) -> Program:
    program = Program(mode, root, *more, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    assert program.wait() == status, program.told("failed")
    return program


def move(source: Path, target: Path) -> Move:
    """A move that goes well."""
    done = Move(source, target)
    assert done.wait() == (0, 0), done.failures()
    return done


def check_moved(source: Path, target: Path, sent: list[Event]) -> None:
    """What the program says is equal, and what somebody else sees."""
    assert compare(sent, run("inspect", target).told("entry")) == []
    run("finish", target, "--move", ID)
    assert show(str(target)) == show(str(source))


def test_everything_arrives(source: Path, target: Path, full: bool) -> None:
    if full:
        move_tree.make(str(_empty(source / "large")), files=20_000, large=2**30, seed=2)
    done = move(source, target)
    sent = done.sender.told("entry")
    assert {each["kind"] for each in sent} == {"file", "directory", "symlink", "fifo", "socket"}
    check_moved(source, target, sent)
    # Whoever looks at the source once more sees what was sent, but for what takes reading it.
    looked = run("look", source).told("entry")
    assert looked == [{key: value for key, value in each.items() if key not in ("hash", "holes")} for each in sent]
    read = run("inspect", source)
    assert read.told("entry") == sent
    totals = read.told("done")[0]
    assert totals == done.sender.told("done")[0]
    assert totals["bytes"] == totals["ofBytes"] and totals["files"] == totals["ofFiles"]


def test_a_finished_copy_is_not_made_again(source: Path, target: Path) -> None:
    first = move(source, target).sender.told("entry")
    inodes = {path: path.lstat().st_ino for path in target.rglob("*") if path.is_file() and not path.is_symlink()}
    again = move(source, target).sender.told("entry")
    assert again == first
    assert inodes == {path: path.lstat().st_ino for path in inodes}
    check_moved(source, target, again)


def test_killed_at_any_moment_it_goes_on(source: Path, tmp_path: Path, full: bool) -> None:
    """A cut falls between the receiver's first breath and its last, or a little after that."""
    chance = random.Random(15)
    began, whole = 0.0, Move(source, measured := _empty(tmp_path / "measured"))
    _until((measured / MARKER).exists)
    began = time.monotonic()
    assert whole.wait() == (0, 0)
    seconds = time.monotonic() - began
    cuts = 0
    for number in range(30 if full else 6):
        target = _empty(tmp_path / f"target{number}")
        for _ in range(chance.choice((1, 1, 2))):
            cut = Move(source, target)
            victim = [cut.sender.process, cut.receiver.process, *cut.carriers][number % 4]
            _until((target / MARKER).exists)
            time.sleep(chance.uniform(0, seconds))
            victim.kill()
            cuts += cut.wait() != (0, 0)
        check_moved(source, target, move(source, target).sender.told("entry"))
        shutil.rmtree(target)
    assert cuts, "one at least isn't over before it is cut"


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize("kill", ["receiver", pytest.param("sender", marks=pytest.mark.soak)])
def test_what_is_on_the_disk_is_not_sent_again(kill: str, tmp_path: Path, target: Path) -> None:
    """Cut behind the first files, which are in a folder of their own."""
    source = _empty(tmp_path / "source")
    for number in range(810):
        (source / f"{number:04}").write_bytes(b"x" * 100)
    (source / "last").write_bytes(random.Random(1).randbytes(40 * CHUNK))
    held = threading.Event()

    def stop_in_the_last(position: int, _: bytearray) -> None:
        if position > 20 * CHUNK:
            _until(lambda: len(list(target.glob("0*"))) >= 800)  # two batches
            (cut.receiver if kill == "receiver" else cut.sender).process.kill()
            held.set()

    cut = Move(source, target, relay=lambda one, other: _carry(one, other, stop_in_the_last))
    cut.wait()
    assert held.is_set() and not (target / "last").exists()
    inodes = {path.name: path.stat().st_ino for path in target.glob("0*")}
    sent = move(source, target).sender.told("entry")
    assert all((target / name).stat().st_ino == inode for name, inode in inodes.items())
    check_moved(source, target, sent)


def _until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + ENDING
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_source_that_is_another_after_a_cut(source: Path, target: Path) -> None:
    move(source, target)
    (source / "kafka/topic-0/4096.log").unlink()
    shutil.rmtree(source / "many/3")
    (source / "many/3").write_text("a file where a folder was")
    (source / "many/4/4").unlink()
    (source / "many/4/4").mkdir()
    (source / "odd/-rf").write_text("other contents")
    (source / "shared/dangling").unlink()
    check_moved(source, target, move(source, target).sender.told("entry"))


def test_what_the_move_has_not_made_is_never_removed(plain: Path, target: Path) -> None:
    move(plain, target)
    (target / "sub" / "somebody's").write_text("precious")
    again = Move(plain, target)
    assert again.wait()[1] == 1
    assert again.receiver.told("failed")[0]["kind"] == "foreign"
    assert again.receiver.told("failed")[0]["path"] == "sub/somebody's"
    assert (target / "sub" / "somebody's").read_text() == "precious"


@pytest.mark.soak  # 25 s
def test_many_files_that_are_there_take_little_memory(tmp_path: Path, target: Path) -> None:
    """A pod has 512 MiB: by 1.4 KB for each file, it was killed at 350,000 of them."""
    source, many = _empty(tmp_path / "source"), 60_000
    for number in range(many):
        if number % 1000 == 0:
            folder = _empty(source / f"a folder with quite a long name {number}")
        (folder / f"a file with a long name {number:09}").touch()
    used = []
    for _ in range(2):
        run = Move(source, target)
        used.append([os.wait4(each.process.pid, 0)[2].ru_maxrss * 1024 for each in (run.sender, run.receiver)])
        assert run.wait() == (0, 0), run.failures()
    per_file = [(again - first) / many for first, again in zip(*used, strict=True)]
    assert max(per_file) < 400, f"{per_file} bytes for each file"


def test_what_somebody_has_changed_between_two_runs_is_sent_again(source: Path, target: Path) -> None:
    """As by a pod with fsGroup, to which the kubelet gives every file: that changes no times."""
    move(source, target)
    os.chown(target / "many/1/1", 0, 5)
    (target / "many/2/2").chmod(0o666)
    check_moved(source, target, move(source, target).sender.told("entry"))


def test_what_a_run_has_left_behind_is_not_overlooked(plain: Path, target: Path) -> None:
    move(plain, target)
    (target / "sub" / f"{MARKER}.7").touch()
    for mode in ("inspect", "look"):
        (failed,) = run(mode, target, status=1).told("failed")
        assert failed == {"kind": "foreign", "path": f"sub/{MARKER}.7", "reason": "a move gives this name to its own files"}
    check_moved(plain, target, move(plain, target).sender.told("entry"))


def _overwrite(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(40 * CHUNK)
        opened.write(b"changed")


def _shorten(file: Path) -> None:
    os.truncate(file, 40 * CHUNK)


def _replace(file: Path) -> None:
    file.with_name("new").write_bytes(b"another")
    file.with_name("new").rename(file)


@pytest.mark.parametrize(
    ("change", "path", "reason"),
    [
        pytest.param(_overwrite, "large", "it changed while it was read", id="overwritten"),
        pytest.param(lambda file: file.with_name("z").unlink(), "z", "No such file or directory", id="removed", marks=pytest.mark.soak),
        pytest.param(_replace, "large", "it changed while it was read", id="replaced", marks=pytest.mark.soak),
        pytest.param(_shorten, "large", "it became shorter while it was read", id="shortened", marks=pytest.mark.soak),
        pytest.param(lambda file: file.chmod(0o400), "large", "it changed while it was read", id="another mode", marks=pytest.mark.soak),
    ],
)
def test_a_source_that_changes_while_it_is_read(
    change: Callable[[Path], object], path: str, reason: str, tmp_path: Path, target: Path
) -> None:
    source = _empty(tmp_path / "source")
    (source / "a").write_bytes(b"before")
    large = source / "large"
    large.write_bytes(random.Random(1).randbytes(64 * CHUNK))
    (source / "z").write_bytes(b"after")
    changed = threading.Event()

    def change_in_between(position: int, _: bytearray) -> None:
        if position > CHUNK and not changed.is_set():
            changed.set()
            change(large)

    cut = Move(source, target, relay=lambda one, other: _carry(one, other, change_in_between))
    assert cut.wait() == (1, 1)
    assert cut.sender.told("failed") == [{"kind": "changed", "path": path, "reason": reason}]
    assert not (target / path).exists(), "what isn't whole has no name"
    assert (target / "a").exists() and any((target / name).exists() for name in ("large", "z")), "the others are there"
    check_moved(source, target, move(source, target).sender.told("entry"))


def test_files_that_cannot_be_read_are_all_named(source: Path, target: Path) -> None:
    cut = Move(source, target, without=(READING, ""))
    assert cut.wait() == (1, 1)
    failed = {each["path"]: each for each in cut.sender.told("failed")}
    assert failed["kafka/topic-0/0.log"] == {
        "kind": "unreadable",
        "path": "kafka/topic-0/0.log",
        "reason": "Permission denied",
    }
    assert failed["pgdata"]["kind"] == "unreadable", "a folder of somebody else"
    assert [each["kind"] for each in cut.receiver.told("failed")] == ["protocol"]
    check_moved(source, target, move(source, target).sender.told("entry"))


@pytest.mark.parametrize(
    ("capability", "path", "reason"),
    [
        (MKNOD, "null", "Operation not permitted"),
        (SETFCAP, "tool", "its extended attribute security.capability: Operation not permitted"),
    ],
)
def test_what_the_target_does_not_take_is_named(capability: str, path: str, reason: str, plain: Path, target: Path) -> None:
    try:
        os.mknod(plain / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        (plain / "tool").touch()
        os.setxattr(plain / "tool", "security.capability", CAPABLE)
    except OSError as problem:
        pytest.skip(f"devices and files with capabilities can't be made here: {problem}")
    cut = Move(plain, target, without=("", capability))
    assert cut.wait() == (1, 1)
    assert cut.receiver.told("failed") == [{"kind": "unwritable", "path": path, "reason": reason}]
    assert not (target / path).exists()
    check_moved(plain, target, move(plain, target).sender.told("entry"))
    assert (target / "null").stat().st_rdev == os.makedev(1, 3)


@pytest.mark.parametrize(("path", "flag", "word"), [("one", "i", "immutable"), ("sub", "i", "immutable"), ("sub/two", "a", "append-only")])
def test_a_flag_that_is_not_moved_is_named(path: str, flag: str, word: str, plain: Path, target: Path) -> None:
    done = subprocess.run(["chattr", f"+{flag}", str(plain / path)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no such flag can be set here: {done.stderr.strip()}")
    try:
        cut = Move(plain, target)
        assert cut.wait() == (1, 1)
    finally:
        subprocess.run(["chattr", f"-{flag}", str(plain / path)], check=True)
    reason = f"its flag `{word}` isn't moved: take it away on the source, by `chattr -{flag}`"
    assert cut.sender.told("failed") == [{"kind": "unwritable", "path": path, "reason": reason}]
    assert (target / "sub" / "two").exists() == (path != "sub/two"), "all others were sent"
    check_moved(plain, target, move(plain, target).sender.told("entry"))


def test_holes_are_kept_whatever_is_allocated_behind_the_end(plain: Path, target: Path) -> None:
    sparse = plain / "sparse"
    with sparse.open("wb") as file:
        file.seek(2**18)
        file.write(b"x" * 2**16)
    reserved = ["fallocate", "--keep-size", "--offset", str(2**20), "--length", str(2**20), str(sparse)]
    done = subprocess.run(reserved, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this file system reserves nothing: {done.stderr.strip()}")
    assert sparse.stat().st_blocks * 512 > sparse.stat().st_size
    carried = bytearray()
    moved = Move(plain, target, relay=lambda one, other: _carry(one, other, lambda _, data: carried.extend(data)))
    assert moved.wait() == (0, 0)
    assert str(2**18).encode() not in carried, "a list of 600,000 holes doesn't fit into a frame"
    sent = moved.sender.told("entry")
    assert [each["holes"] for each in sent if each["path"] == "sparse"] == [[[0, 2**18]]]
    check_moved(plain, target, sent)
    assert (target / "sparse").stat().st_blocks * 512 < 2**17


@pytest.mark.parametrize("harm", ["cut", "flip"])
def test_a_journal_that_was_harmed(harm: str, plain: Path, target: Path) -> None:
    """As by a crash, or a bad disk: what it doesn't tell for sure is sent again."""
    for number in range(20):
        (plain / f"many {number}").write_bytes(b"x" * number)
    move(plain, target)
    journal = target / MARKER
    data = bytearray(journal.read_bytes())
    if harm == "cut":
        del data[len(data) // 2 :]
    else:
        data[len(data) // 2] ^= 4
    journal.write_bytes(data)
    before = {path: path.lstat().st_ino for path in target.glob("many *")}
    sent = move(plain, target).sender.told("entry")
    assert 0 < sum(path.lstat().st_ino == inode for path, inode in before.items()) < len(before)
    check_moved(plain, target, sent)


@pytest.mark.parametrize(
    ("bad", "path"),
    [
        pytest.param(r"/target/sub/\.storage-tiers-move\.\d+$", "sub/two", id="a file"),
        pytest.param("/target/sub$", "sub", id="a folder"),
        pytest.param("/target$", ".", id="the root"),
        pytest.param(rf"/target/{MARKER}$", MARKER, id="the marker"),
    ],
)
def test_a_disk_that_fails_once_fails_the_move(bad: str, path: str, plain: Path, target: Path) -> None:
    """Linux says so once: asked again, it says that all is well."""
    cut = Move(plain, target, bad=bad)
    assert cut.wait() == (1, 1)
    expected = {"kind": "unwritable", "reason": "Input/output error", "path": path}
    assert cut.receiver.told("failed") == [expected]
    assert not (target / "sub" / "two").exists() or path in ("sub", ".")
    check_moved(plain, target, move(plain, target).sender.told("entry"))


def test_a_name_is_told_of_on_the_disk_before_it_is_given(plain: Path, target: Path) -> None:
    """Else a power cut leaves what no later run dares to remove, as somebody else's."""
    (plain / "link").symlink_to("one")
    os.mkfifo(plain / "sub" / "fifo")
    os.link(plain / "one", plain / "second")
    done = Move(plain, target, bad="no such name")
    assert done.wait() == (0, 0), done.failures()
    check_moved(plain, target, done.sender.told("entry"))


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    folder = _empty(tmp_path / "small")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_target(source: Path, small: Path) -> None:
    (source / "too large").write_bytes(random.Random(1).randbytes(2**24))
    cut = Move(source, small)
    assert cut.wait() == (1, 1)
    (failed,) = cut.receiver.told("failed")
    assert (failed["kind"], failed["reason"]) == ("full", "the target has no room left: No space left on device")
    assert failed["path"] == "too large"
    told = [each for each in cut.sender.told("failed") if "too large: the target has no room left" in each["reason"]]
    assert told or cut.sender.told("failed")[0]["kind"] == "protocol"
    subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
    sent = move(source, small).sender.told("entry")
    assert compare(sent, run("inspect", small).told("entry")) == []


def test_another_file_system_in_the_source(source: Path, target: Path, small: Path) -> None:
    inside = _empty(source / "mounted")
    subprocess.run(["mount", "--bind", str(small), str(inside)], check=True)
    try:
        cut = Move(source, target)
        assert cut.wait() == (1, 1)
    finally:
        subprocess.run(["umount", "-l", str(inside)], check=True)
    assert cut.sender.told("failed") == [{"kind": "unreadable", "path": "mounted", "reason": "another file system is mounted here"}]


def test_a_flipped_byte_on_the_target_is_found(source: Path, target: Path) -> None:
    sent = move(source, target).sender.told("entry")
    harmed = target / "kafka/topic-0/1048577.log"
    times = harmed.stat()
    with harmed.open("r+b") as file:
        file.seek(1048570)
        byte = file.read(1)
        file.seek(1048570)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(harmed, ns=(times.st_atime_ns, times.st_mtime_ns))
    (difference,) = compare(sent, run("inspect", target).told("entry"))
    assert difference.startswith("kafka/topic-0/1048577.log: its contents are others (SHA-256 ")


def test_a_flipped_bit_in_the_stream(plain: Path, tmp_path: Path, full: bool) -> None:
    """Wherever it is: an error in words, and no hang."""
    length = [0]

    def measure(position: int, data: bytearray) -> None:
        length[0] = position + len(data)

    assert Move(plain, _empty(tmp_path / "measured"), relay=lambda one, other: _carry(one, other, measure)).wait() == (0, 0)
    chance = random.Random(3)
    somewhere = [chance.randrange(length[0]) for _ in range(20 if full else 1)]
    for place in (3, 20, *somewhere, length[0] - 27, length[0] - 1):

        def flip(position: int, data: bytearray, place: int = place) -> None:
            if position <= place < position + len(data):
                data[place - position] ^= 1 << place % 8

        target = _empty(tmp_path / f"target at {place}")
        cut = Move(plain, target, relay=lambda one, other, flip=flip: _carry(one, other, flip))  # type: ignore[misc]
        assert cut.wait() == (1, 1), place
        reasons = [each["reason"] for each in cut.receiver.told("failed")]
        assert len(reasons) == 1 and "arrived damaged" in reasons[0], place
        assert cut.sender.told("failed")[0]["kind"] == "protocol"
    check_moved(plain, target, move(plain, target).sender.told("entry"))


def test_a_target_that_holds_something_is_refused(plain: Path, target: Path) -> None:
    (target / "data").write_text("precious")
    cut = Move(plain, target)
    assert cut.wait() == (1, 1)
    assert cut.receiver.told("failed") == [
        {"kind": "foreign", "reason": "the target holds something already, as data; a move is made to an empty volume alone"}
    ]
    assert sorted(each.name for each in target.iterdir()) == ["data", "lost+found"] and (target / "data").read_text() == "precious"


def test_a_target_of_another_move_is_refused(plain: Path, target: Path, tmp_path: Path) -> None:
    move(plain, target)
    before = show(str(target))
    for mode in ("receive", "finish"):
        refused = run(mode, target, "--move", "another", status=1)
        assert refused.told("failed")[0]["kind"] == "foreign"
        assert "a part of another move (a-move)" in refused.told("failed")[0]["reason"]
    assert show(str(target)) == before
    # Nor is it a source, as long as it isn't whole for sure.
    cut = Move(target, _empty(tmp_path / "third"))
    assert cut.wait() == (1, 1)
    assert cut.sender.told("failed")[0]["kind"] == "foreign"


def test_two_receivers_do_not_write_at_once(plain: Path, target: Path) -> None:
    """The one that was there first says that it is alive, as long as it waits for the source."""
    waiting = Program("receive", target, "--move", ID, stdin=(pipe := os.pipe())[0], stdout=subprocess.DEVNULL)
    _until(lambda: (target / MARKER).exists() and (target / MARKER).stat().st_size > 0)
    refused = run("receive", target, "--move", ID, status=1)
    assert "another process of the same move writes to the target still" in refused.told("failed")[0]["reason"]
    _until(lambda: len(waiting.told("alive")) >= 2)
    for each in pipe:
        os.close(each)
    assert waiting.wait() == 1
    assert waiting.told("failed") == [{"kind": "protocol", "reason": "the stream from the other end was cut"}]
    check_moved(plain, target, move(plain, target).sender.told("entry"))


def test_names_that_are_the_moves_own_are_refused(plain: Path, target: Path) -> None:
    (plain / "sub" / ".storage-tiers-move.7").write_text("somebody's")
    cut = Move(plain, target)
    assert cut.wait() == (1, 1)
    assert cut.sender.told("failed")[0]["path"] == "sub/.storage-tiers-move.7"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.symlink_to("nowhere"), "Too many levels of symbolic links"),
        (os.mkfifo, "this is the target of a move that isn't finished ()"),
        (Path.mkdir, "Is a directory"),
    ],
)
def test_whatever_has_the_markers_name_in_a_source_is_refused(
    make: Callable[[Path], object], reason: str, plain: Path, target: Path
) -> None:
    """Left out, it would be lost in silence."""
    make(plain / MARKER)
    cut = Move(plain, target)
    assert cut.wait() == (1, 1)
    assert cut.sender.told("failed")[0]["reason"] == reason


def test_usage(source: Path, target: Path) -> None:
    def used(root: Path) -> Event:
        command = [sys.executable, "-IB", str(PROGRAM), "usage", "--root", str(root)]
        found: Event = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        return found

    found = used(source)
    inodes = {path.lstat().st_ino: path.lstat() for path in source.rglob("*")}
    assert found["inodes"] == len(inodes)
    assert found["usedBytes"] == sum(each.st_blocks * 512 for each in inodes.values())
    assert found["apparentBytes"] > found["usedBytes"], "there are holes in it"
    assert not found["empty"] and found["move"] == ""
    assert (found["leftOut"], used(target)["leftOut"]) == (0, 0)
    (target / "lost+found/#12").touch()
    assert used(target)["leftOut"] == 1
    assert used(target)["empty"] and used(target)["freeBytes"] > 0
    (target / ".storage-tiers-move").touch()  # a move that was cut as soon as it began
    assert used(target)["empty"]
    move(source, target)
    assert not used(target)["empty"] and used(target)["move"] == ID
    assert used(target)["inodes"] == found["inodes"]


def test_finish_leaves_no_trace_and_may_be_repeated(plain: Path, target: Path) -> None:
    sent = move(plain, target).sender.told("entry")
    check_moved(plain, target, sent)
    run("finish", target, "--move", ID)
    assert compare(sent, run("inspect", target).told("entry")) == []


@pytest.mark.parametrize(
    ("mode", "said", "reason"),
    [
        ("receive", packed(b"N", {"kind": "directory"}), "a fault of this program: KeyError: 'path' (nodes.py, line "),
        ("receive", packed(b"N", {"path": "../outside", "kind": "fifo"}), "this path would be outside of the target"),
        ("receive", packed(b"N", {"path": "/outside", "kind": "fifo"}), "this path would be outside of the target"),
        ("receive", packed(b"N", {"path": "second", "kind": "file", "link": "../second"}), "this path would be outside of the target"),
        ("receive", packed(b"S", {"path": "one"}), "the other end sent a frame b'S' that has no place here"),
        ("receive", header(b"N", 5) + b"\x15\xd5G9{", "a fault of this program: JSONDecodeError: "),
        ("receive", b"HTTP/1.1 400 Bad Request\r\n", "the stream from the other end arrived damaged (a frame's beginning)"),
        ("send", packed(b"H", {"version": 99}), "the target's end speaks version 99, this one 1"),
        ("send", packed(b"H", {}), "a fault of this program: KeyError: 'version' (sender.py, line "),
        ("send", packed(b"F", {"reason": "no room"}), "the target's end gave up: no room"),
        ("send", b"", "the stream from the other end was cut"),
    ],
)
def test_nonsense_from_the_other_end(mode: str, said: bytes, reason: str, plain: Path, target: Path) -> None:
    """It ends the program, in words as well, though the other end waits."""
    root, more = (target, ["--move", ID]) if mode == "receive" else (plain, [])
    program = Program(mode, root, *more, stdin=(pipe := os.pipe())[0], stdout=subprocess.DEVNULL)
    os.write(pipe[1], said)
    if not said:
        os.close(pipe[1])
    assert program.wait() == 1
    assert [each["reason"][: len(reason)] for each in program.told("failed")] == [reason]
    for each in pipe[: 2 if said else 1]:
        os.close(each)


def _node(path: str, kind: str, **more: Any) -> bytes:
    owner = {"uid": os.geteuid(), "gid": os.getegid()}
    return packed(b"N", {"path": path, "kind": kind, "mode": 0o700, "mtimeNs": 0, **owner, **more})


@pytest.mark.parametrize(
    ("frames", "path", "reason"),
    [
        pytest.param([("door", "symlink"), ("door/evil", "fifo")], "door/evil", "hasn't sent the folder", id="through a link"),
        pytest.param([("door", "directory"), ("door", "symlink"), ("door/evil", "fifo")], "door", "already, as a folder", id="swapped"),
        pytest.param([("a", "fifo", "door/precious"), ("door", "symlink")], "door/precious", "hasn't sent the folder", id="linked"),
        pytest.param([("a", "directory"), ("a//b", "fifo")], "a//b", "outside of the target", id="two slashes"),
        pytest.param([("./b", "fifo")], "./b", "outside of the target", id="dot"),
        pytest.param([(MARKER, "fifo")], MARKER, "its own files", id="marker"),
        pytest.param([("a", "directory"), (f"a/{MARKER}.5", "fifo")], f"a/{MARKER}.5", "its own files", id="temporary"),
    ],
)
def test_nothing_is_made_outside_of_the_target(frames: list[tuple[str, ...]], path: str, reason: str, tmp_path: Path, target: Path) -> None:
    """Whoever has the other end isn't trusted: the target may be a folder of this machine."""
    outside = _empty(tmp_path / "outside")
    (outside / "precious").touch()
    more: dict[str, dict[str, str]] = {"symlink": {"target": str(outside)}}
    said = [_node(name, kind, **more.get(kind, {}), **({"link": link[0]} if link else {})) for name, kind, *link in frames]
    program = Program("receive", target, "--move", ID, stdin=(pipe := os.pipe())[0], stdout=subprocess.DEVNULL)
    os.write(pipe[1], b"".join([*said, packed(b"Z", {"failures": 0})]))
    assert program.wait() == 1
    for each in pipe:
        os.close(each)
    (failed,) = program.told("failed")
    assert failed["kind"] == "protocol" and failed["path"] == path and reason in failed["reason"]
    assert [each.name for each in outside.iterdir()] == ["precious"]


@pytest.mark.parametrize(
    "arguments", [["receive", "--root", "/"], ["finish", "--root", "/"], ["send", "--root", "/nowhere"], ["other"], ["send"]]
)
def test_usage_errors(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-IB", str(PROGRAM), *arguments], capture_output=True, text=True)
    assert done.returncode == 2 and "usage:" in done.stderr


def test_of_two_moves_that_find_one_target_empty_one_goes_on(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one has come and gone between the look and the lock."""
    lock = fcntl.flock

    def late(fd: int, how: int) -> None:
        (target / MARKER).write_text('{"move": "other"}\n')
        lock(fd, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(Failed, match="another move has begun to write"):
        Journal(os.fsencode(target), "a-move")
    assert (target / MARKER).read_text() == '{"move": "other"}\n'
