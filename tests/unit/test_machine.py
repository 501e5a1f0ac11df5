"""The commands that `python -m ops` and `python -m dev` both have are the same ones, on another
machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from dev import cli as dev_cli
from dev import machine as dev_machine
from dev.machine import DevMachine
from devkube import paths
from devkube.cluster import ExistingCluster
from ops import cli as ops_cli
from ops.commands import volumes as commands
from ops.commands.drift import NOT_LOOKED
from ops.console import console
from ops.errors import UserError
from ops.machine import Machine
from ops.volumes.stack_volumes import StackVolumes


class Noted(Machine):
    """Notes which stack a command works on, and how."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    @contextmanager
    def volumes(self, stack: str, *, saved: Path | None = None, quiet: bool = False) -> Iterator[StackVolumes]:
        self.asked.append((stack, saved, quiet))
        yield None  # type: ignore[misc]


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> Noted:
    machine = Noted()
    for name, arguments in (("show", slice(1, None)), ("adopt", slice(0)), ("delete_old", slice(1, None))):
        monkeypatch.setattr(commands, name, lambda *given, name=name, arguments=arguments: machine.asked.append((name, *given[arguments])))
    return machine


def test_they_are_the_same_commands() -> None:
    for name in ("volumes", "drift"):
        assert dev_cli.cli.commands[name] is ops_cli.cli.commands[name]
    volumes = ops_cli.cli.commands["volumes"]
    assert isinstance(volumes, click.Group)
    assert dev_cli.cli.commands["prune"] is volumes.commands["prune"]


ADOPT = "`python -m ops volumes adopt --stack {}`, then `pulumi up`"
PRUNE = "python -m ops volumes prune --stack {}"


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (["volumes"], [("dev", None, False), ("show", False, ADOPT.format("dev"))]),
        (["volumes", "--stack", "a", "--json"], [("a", None, True), ("show", True, ADOPT.format("a"))]),
        (["volumes", "adopt"], [("dev", None, False), ("adopt",)]),
        (["volumes", "--stack", "a", "adopt", "--from", "list"], [("a", Path("list"), False), ("adopt",)]),
        (["volumes", "--stack", "a", "adopt", "--stack", "b"], [("b", None, False), ("adopt",)]),
        (["volumes", "prune", "pv1", "pv2"], [("dev", None, False), ("delete_old", ("pv1", "pv2"), None, False, PRUNE.format("dev"))]),
        (
            ["volumes", "--stack", "a", "prune", "--older-than", "1d", "--yes"],
            [("a", None, False), ("delete_old", (), "1d", True, PRUNE.format("a"))],
        ),
    ],
)
def test_which_stack_and_how(noted: Noted, arguments: list[str], asked: list[Any]) -> None:
    done = CliRunner().invoke(ops_cli.cli, arguments, obj=noted, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert noted.asked == asked


@pytest.mark.parametrize("age", ["3x", ""])
def test_an_age_is_refused_before_a_cluster_is_asked(noted: Noted, age: str) -> None:
    with pytest.raises(UserError, match="an age is a whole number"):
        CliRunner().invoke(ops_cli.cli, ["volumes", "prune", "--older-than", age], obj=noted, catch_exceptions=False)
    assert not noted.asked


@pytest.mark.parametrize("stack", ["dev", "mine"])
def test_on_a_development_machine(noted: Noted, stack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DevMachine, "volumes", lambda _, *given, **how: noted.volumes(*given, **how))
    option, variable = ("", "") if stack == "dev" else (f" --stack {stack}", f" STACK={stack}")
    for command in (["volumes"], ["prune", "pv1"]):
        done = CliRunner().invoke(dev_cli.cli, [*command, "--stack", stack], catch_exceptions=False)
        assert done.exit_code == 0, done.output
    assert noted.asked == [
        (stack, None, False),
        ("show", False, f"make up ADOPT=1{variable}"),
        (stack, None, False),
        ("delete_old", ("pv1",), None, False, f"python -m dev prune{option}"),
    ]


class Stopped(ExistingCluster):
    """A dev cluster that doesn't run."""

    def running(self) -> bool:
        return False


@pytest.mark.parametrize(("arguments", "status"), [(["volumes", "--json"], 1), (["drift"], NOT_LOOKED), (["drift", "--json"], NOT_LOOKED)])
def test_what_starts_no_cluster(arguments: list[str], status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev_machine, "cluster_of", lambda _: Stopped("context"))
    monkeypatch.setattr(paths, "DOT_DEV", tmp_path)
    monkeypatch.setattr(console, "stderr", False)
    with pytest.raises(UserError) as refused:
        CliRunner().invoke(dev_cli.cli, [*arguments, "--stack", "mine"], catch_exceptions=False, standalone_mode=False)
    assert str(refused.value) == "the dev cluster doesn't run.\n`make up STACK=mine` starts it."
    assert refused.value.status == status
