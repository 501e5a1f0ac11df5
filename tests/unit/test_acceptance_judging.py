"""What an engine has kept, held against the ledger: each fault is named, a healthy one is none."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from components.acceptance.judging import KeptFault, postgresql_findings
from components.acceptance.ledger import Ledger, difference, shown
from components.acceptance.scripts import common

RUN = "0011223344556677"
ACKNOWLEDGED = {0: 1203, 1: 40}


def rows(client: int, numbers: list[int], *, run: str = RUN, counted: int | None = None) -> dict[str, Any]:
    blocks = list(common.blocks((number, common.content(run, client, number)) for number in numbers))
    return {"client": client, "counted": len(numbers) if counted is None else counted, "blocks": blocks}


def healthy() -> dict[str, list[Any]]:
    """Two clients, of which one has a commit more than it was told."""
    return {
        "rows": [rows(0, list(range(1, 1205))), rows(1, list(range(1, 41)))],
        "slot": [{"client": 0, "ranges": [[1, 1204]]}, {"client": 1, "ranges": [[1, 40]]}],
        "amcheck": [{"status": 0, "said": []}],
        "checksums": [{"status": 0, "said": ["Bad checksums:  0"]}],
    }


def faults(said: dict[str, list[Any]]) -> list[KeptFault]:
    return [each.fault for each in postgresql_findings(RUN, Ledger(dict(ACKNOWLEDGED)), said)]


def test_all_that_was_acknowledged_and_one_more_is_right() -> None:
    assert faults(healthy()) == []


def test_a_lost_end_is_counted_and_named() -> None:
    said = healthy()
    said["rows"][0] = rows(0, list(range(1, 1041)))
    said["slot"][0]["ranges"] = [[1, 1040]]
    findings = postgresql_findings(RUN, Ledger(dict(ACKNOWLEDGED)), said)
    assert [each.fault for each in findings] == [KeptFault.LOST, KeptFault.SLOT]
    assert str(findings[0]) == "acknowledged, and lost: 163 transactions of client 0 (1041-1203)"


def test_a_client_without_any_row_has_lost_them_all() -> None:
    said = healthy()
    del said["rows"][1]
    assert faults(said) == [KeptFault.LOST]


def test_an_empty_table_is_said_once() -> None:
    said = healthy()
    said["rows"] = [rows(0, []), rows(1, [])]
    assert faults(said) == [KeptFault.EMPTY]


@pytest.mark.parametrize(
    ("numbers", "fault"),
    [
        ([*range(1, 700), *range(701, 1204)], KeptFault.LOST),
        ([*range(1, 1204), 1206], KeptFault.SKIPPED),
        ([*range(1, 1204), 1203], KeptFault.DOUBLED),
    ],
)
def test_numbers_that_are_not_as_they_were_written(numbers: list[int], fault: KeptFault) -> None:
    said = healthy()
    said["rows"][0] = rows(0, numbers)
    assert faults(said)[0] is fault


def test_another_content_is_found_and_where() -> None:
    said = healthy()
    said["rows"][1] = rows(1, list(range(1, 41)), run="ffeeddccbbaa9988")
    findings = postgresql_findings(RUN, Ledger(dict(ACKNOWLEDGED)), said)
    assert [str(each) for each in findings] == ["damaged: among transactions 1-40 of client 1 is one of another content"]


def test_half_a_transaction() -> None:
    said = healthy()
    said["rows"][1]["counted"] = 41
    assert faults(said) == [KeptFault.TORN]


def test_what_the_tools_find_counts_as_well() -> None:
    said = healthy()
    said["checksums"] = [{"status": 1, "said": ["pg_checksums: error: checksum verification failed in file"]}]
    said["amcheck"] = [{"status": 2, "said": ['heap tuple (0,1) from table "ledger" lacks matching index tuple']}]
    assert faults(said) == [KeptFault.CHECKSUM, KeptFault.INDEX]


def test_a_table_that_cannot_be_read_is_damaged() -> None:
    said = {**healthy(), "rows": [], "unreadable": [{"what": "rows", "message": "invalid page in block 7"}]}
    assert faults(said) == [KeptFault.DAMAGED]


def test_a_slot_that_sends_less_or_twice() -> None:
    for ranges in ([[1, 30]], [[1, 40], [40, 40]]):
        said = copy.deepcopy(healthy())
        said["slot"][1]["ranges"] = ranges
        assert faults(said) == [KeptFault.SLOT]


def test_order_and_doubles_are_told_apart() -> None:
    found = difference(0, 6, [[1, 2], [5, 6], [3, 4], [6, 6]])
    assert (found.lost, found.doubled, found.reordered) == ((), ((6, 6),), ((3, 4),))
    assert difference(0, 0, []).is_none


def test_a_ledger_keeps_the_highest_number() -> None:
    ledger = Ledger()
    for acks in ({"0": 3}, {"0": 7, "1": 2}, {"0": 5}):
        ledger.add(acks)
    assert (ledger.acknowledged, ledger.total) == ({0: 7, 1: 2}, 9)


def test_many_ranges_are_shortened() -> None:
    assert shown([(1, 1), (3, 5)]) == "1, 3-5"
    assert shown([(number, number) for number in range(1, 15, 2)]).endswith(" and 2 more ranges")
