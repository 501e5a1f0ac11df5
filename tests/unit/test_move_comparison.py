"""The comparison of two manifests: what counts, and in which words."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from ops.move.comparison import compare

FILE = {
    "path": "pgdata/1",
    "kind": "file",
    "mode": 0o600,
    "uid": 999,
    "gid": 999,
    "mtimeNs": 1_600_000_000_123_456_789,
    "ctimeNs": 5,
    "ino": 12,
    "size": 1_000_000,
    "hash": "ab" * 32,
    "holes": [[65536, 131072], [327680, 65536]],
    "xattrs": {"user.note": "eA==", "system.posix_acl_access": "AgAA"},
}
FOLDER = {"path": "pgdata", "kind": "directory", "mode": 0o700, "uid": 999, "gid": 999, "mtimeNs": 1, "size": 4096}
LINK = {"path": "here", "kind": "symlink", "mode": 0o777, "uid": 0, "gid": 0, "mtimeNs": 1, "size": 3, "target": "one"}
SECOND = {**{key: value for key, value in FILE.items() if key not in ("hash", "holes")}, "path": "second", "link": "pgdata/1"}
DEVICE = {"path": "null", "kind": "device", "mode": 0o666, "uid": 0, "gid": 0, "mtimeNs": 1, "device": "c 1:3"}
ALL: list[dict[str, Any]] = [FOLDER, FILE, LINK, SECOND, DEVICE]


def test_what_is_equal_is_equal_in_any_order() -> None:
    assert compare(ALL, list(reversed(ALL))) == []
    assert compare([], []) == []


@pytest.mark.parametrize(
    ("entry", "change", "difference"),
    [
        (FILE, {"mode": 0o644}, "pgdata/1: its mode is 0644 on the target, 0600 on the source"),
        (FILE, {"mode": 0o4600}, "pgdata/1: its mode is 4600 on the target, 0600 on the source"),
        (FILE, {"uid": 0}, "pgdata/1: its owner is 0 on the target, 999 on the source"),
        (FILE, {"gid": 0}, "pgdata/1: its group is 0 on the target, 999 on the source"),
        (
            FILE,
            {"mtimeNs": 1_600_000_000_123_456_788},
            "pgdata/1: its time of change is 1600000000.123456788 s on the target, 1600000000.123456789 s on the source",
        ),
        (FILE, {"size": 5}, "pgdata/1: its size is 5 bytes on the target, 1000000 bytes on the source"),
        (
            FILE,
            {"hash": "cd" * 32},
            "pgdata/1: its contents are others (SHA-256 cdcdcdcdcdcdcdcd… on the target, abababababababab… on the source)",
        ),
        (FILE, {"kind": "fifo"}, "pgdata/1: is a fifo on the target, a file on the source"),
        (FILE, {"xattrs": {"user.note": "eA=="}}, "pgdata/1: its ACL is missing on the target"),
        (FILE, {"xattrs": {**FILE["xattrs"], "user.b": ""}}, "pgdata/1: its extended attribute user.b is on the target alone"),  # type: ignore[dict-item]
        (
            FILE,
            {"xattrs": {**FILE["xattrs"], "user.note": "eQ=="}},  # type: ignore[dict-item]
            "pgdata/1: its extended attribute user.note is another on the target",
        ),
        (FOLDER, {"mode": 0o755}, "pgdata: its mode is 0755 on the target, 0700 on the source"),
        (LINK, {"target": "two"}, "here: its link's target is 'two' on the target, 'one' on the source"),
        (LINK, {"targetBase64": "b25l/w=="}, "here: its link's target is 'one' on the target, 'one' on the source"),
        (SECOND, {"link": "here"}, "second: is the same file as here on the target, the same file as pgdata/1 on the source"),
        (DEVICE, {"device": "c 1:5"}, "null: its device is c 1:5 on the target, c 1:3 on the source"),
    ],
)
def test_each_difference_is_told(entry: dict[str, Any], change: dict[str, Any], difference: str) -> None:
    changed = [{**each, **change} if each is entry else each for each in ALL]
    assert compare(ALL, changed) == [difference]


def test_a_link_that_became_a_file_of_its_own() -> None:
    alone = {key: value for key, value in {**SECOND, "hash": FILE["hash"]}.items() if key != "link"}
    assert compare([SECOND], [alone]) == ["second: is a file of its own on the target, the same file as pgdata/1 on the source"]


@pytest.mark.parametrize("change", [{"ctimeNs": 6}, {"ino": 13}, {"atimeNs": 7}])
def test_what_is_the_file_systems_own_does_not_count(change: dict[str, Any]) -> None:
    assert compare([FILE], [{**FILE, **change}]) == []


def test_a_folders_size_does_not_count() -> None:
    assert compare([FOLDER], [{**FOLDER, "size": 8192}]) == []


def test_what_is_on_one_side_alone() -> None:
    assert compare([FILE, FOLDER], [FOLDER, LINK]) == ["here: is on the target alone", "pgdata/1: is missing on the target"]


def test_lost_and_found_is_left_out() -> None:
    lost = {**FOLDER, "path": "lost+found"}
    inside = {**FILE, "path": "lost+found/#12"}
    assert compare([lost, inside], []) == compare([], [lost]) == []
    assert compare([{**FOLDER, "path": "sub/lost+found"}], []) == ["sub/lost+found: is missing on the target"]


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_file_that_nobody_has_read_is_no_equal_one(side: str) -> None:
    unread = {key: value for key, value in FILE.items() if key != "hash"}
    pair = ([unread], [FILE]) if side == "source" else ([FILE], [unread])
    assert compare(*pair) == [f"pgdata/1: its contents on the {side} haven't been read"]
    assert len(compare([unread], [unread])) == 1


def test_names_that_look_alike_are_told_apart() -> None:
    """A name that isn't UTF-8 is shown as one that is."""
    plain = {**FILE, "path": "a\\xff"}
    odd = {**FILE, "path": "a\\xff", "pathBase64": base64.b64encode(b"a\xff").decode()}
    assert compare([plain, odd], [odd, plain]) == []
    assert compare([odd], [plain]) == ["a\\xff: is on the target alone", "a\\xff: is missing on the target"]  # by their bytes


@pytest.mark.parametrize(
    ("holes", "filled"),
    [
        ([[65536, 131072], [327680, 65536]], 0),
        ([[0, 1_000_000]], 0),  # a file system may make holes of zeros
        ([[0, 10], [65536, 131072], [262144, 131072]], 0),
        ([[65536, 131072]], 1),
        ([[65536, 65536], [327680, 65536]], 1),
        ([[131072, 65536], [327680, 65536]], 1),
        ([], 2),
        (None, 2),
    ],
)
def test_holes_that_are_written_out(holes: list[list[int]] | None, filled: int) -> None:
    found = compare([FILE], [{**FILE, "holes": holes}])
    assert [each.split(" on the target")[0] for each in found] == ([f"pgdata/1: {filled} of its 2 holes are written out"] if filled else [])
