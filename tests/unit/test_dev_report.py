"""The table that `make up` ends with."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from dev import report
from tests.unit.mocked_program import dev_config, run


def outputs(**engines: Any) -> dict[str, Any]:
    services = json.loads(dev_config()["storage-tiers:services"])
    for name, engine in engines.items():
        services[name]["engine"] = engine
    made = run(dev_config(services=services, canary={"enabled": False})).outputs
    claims = {service: [{"requested": "1Gi", "provisioned": "1Gi", "storageClass": "c"}] for service in services}
    return {**made, "claims": claims, "canary": {}}


def shown(table: Any) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_without_engines_the_table_is_as_it_was() -> None:
    table = report.allocation_table(outputs())
    assert [column.header for column in table.columns] == ["Service", "StorageClass", "Requested", "Provisioned", "In total", "Share"]


def test_what_is_left_for_data_is_in_the_row_of_the_service_alone() -> None:
    text = shown(report.allocation_table(outputs(postgres={"postgresql": {"maxWalSize": "512Mi", "maxSlotWalKeepSize": "1Gi"}})))
    rows = [line for line in text.splitlines() if "GiB" in line]
    assert "Each for data" in text
    assert [line.split()[-2:] for line in rows if "postgres" in line] == [["2.98", "GiB"]]
    assert [line.split()[-1][-1] for line in rows if "kafka" in line] == ["%"]


def test_what_has_no_limit_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), width=400)
    monkeypatch.setattr(report, "console", console)
    report.show(outputs(postgres={"postgresql": {"slots": 1}}), "dev")
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "≤ 2.98 GiB" in text
    assert "Warning: postgres, maxSlotWalKeepSize: no limit: from the moment a slot's reader stops" in text
