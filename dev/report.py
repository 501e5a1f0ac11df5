"""What `make up` ends with: who was given what on which tier, and the commands that show it."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table

from components.acceptance.plan import OUTPUT
from components.settings import WHAT_HAPPENS
from ops.command_line import variable_of
from ops.commands.accept import table as figures_of_engines
from ops.console import console, say
from ops.volumes.matching import AdoptionPlan
from ops.volumes.stack_volumes import StackVolumes

_GIB = 2**30


def gib(size: int) -> str:
    """Bytes as GiB with two decimals, for a table."""
    return f"{size / _GIB:.2f} GiB"


def allocation_table(outputs: dict[str, Any]) -> Table:
    """The allocation by service, then by tier, then in total, from the stack's outputs."""
    claims, allocation = outputs["claims"], outputs["allocation"]
    table = Table("Service", "StorageClass", "Requested", "Provisioned", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("In total", justify="right")
    table.add_column("Share", justify="right")
    engines = any("perClaim" in used for used in allocation["services"].values())
    if engines:
        table.add_column("Each for data", justify="right")
    for service, used in allocation["services"].items():
        first, number = claims[service][0], len(claims[service])
        requested, provisioned = f"{number} × {first['requested']}", f"{number} × {first['provisioned']}"
        data = [_for_data(used.get("perClaim"))] if engines else []
        table.add_row(service, first["storageClass"], requested, provisioned, gib(used["provisionedBytes"]), f"{used['share']:.2%}", *data)
    table.add_section()
    for tier, used in allocation["tiers"].items():
        table.add_row("", outputs["storageClasses"][tier], "", "", gib(used["provisionedBytes"]), f"{used['share']:.2%}")
    table.add_section()
    table.add_row("all", "", "", "", gib(allocation["total"]["provisionedBytes"]), "")
    return table


def _for_data(budget: dict[str, Any] | None) -> str:
    if budget is None:
        return ""
    return f"{'≤ ' if budget['unbounded'] else ''}{gib(budget['dataBytes'])}"


def canary_table(outputs: dict[str, Any]) -> Table:
    """Per tier whether it is proven, the figures of the proof, and those of the run before."""
    table = Table("Tier", "Proof", box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("Written", "IOPS", "Sync p50", "p99", "Pod runs after"):
        table.add_column(title, justify="right")
    for tier, verdict in outputs["canary"].items():
        figures = _figures(verdict) if verdict["verdict"] == "proven" else []
        table.add_row(tier, _PROOFS[verdict["verdict"]], *figures)
        for place in verdict.get("places", []):
            kind = verdict["spread"].removesuffix("s")
            measured = _figures(place) if place["verdict"] == "proven" else []
            table.add_row("", f"{kind} {place[kind]}" if measured else f"{kind} {place[kind]}: [yellow]no pod can run there[/]", *measured)
        if verdict.get("previous"):
            table.add_row("", "the run before", *_figures(verdict["previous"]), style="dim")
    return table


_PROOFS = {"proven": "[green]proven[/]", "disabled": "[yellow]not proven[/] (disabled)", "not-proven": "[red]not proven[/]"}


def _figures(verdict: dict[str, Any]) -> list[str]:
    sync = verdict["syncMs"]
    return [
        f"{verdict['writeMBps']:.0f} MB/s",
        f"{verdict['writeIOPS']:.0f}",
        f"{sync['p50']:.2f} ms",
        f"{sync['p99']:.2f} ms",
        f"{verdict['secondsToRunning']:.1f} s",
    ]


def show(outputs: dict[str, Any], stack: str) -> None:
    """Print the allocation, how to look at it with kubectl, and what to do next."""
    namespace, instance = outputs["namespace"], stack
    console.print()
    console.print(canary_table(outputs))
    for verdict in outputs["canary"].values():
        for warning in verdict.get("warnings", []):
            console.print(f"[yellow]Warning:[/] {warning}.")
    accepted = [verdict[OUTPUT] for verdict in outputs["canary"].values() if OUTPUT in verdict]
    if accepted:
        console.print(figures_of_engines(accepted))
    console.print(allocation_table(outputs))
    for service, used in outputs["allocation"]["services"].items():
        for setting in used.get("perClaim", {}).get("unbounded", []):
            console.print(f"[yellow]Warning:[/] {service}, {setting}: {WHAT_HAPPENS[setting]}.")
    say("A claim stays Pending until the first pod uses it (WaitForFirstConsumer): that is how it should be.")
    say("")
    say("Look at it (after `. .dev/env`):")
    say(f"  kubectl get storageclass -l app.kubernetes.io/part-of=storage-tiers,app.kubernetes.io/instance={instance}")
    say(f"  kubectl get pvc -n {namespace}")
    say("  kubectl get pv")
    say("")
    say("Next: `. .dev/env && pulumi stack output`, or `make down` to stop the cluster (all data stays).")


def show_adopted(plan: AdoptionPlan) -> None:
    """Say which claims have their old volumes back."""
    if plan.gives:
        say("")
        say("Adopted, each bound to the volume that was its own:")
        for wanted, volume in plan.gives.items():
            say(f"  {wanted}: {volume.name}")


def show_left_behind(volumes: StackVolumes) -> None:
    """Say which claims are new and empty although old volumes of theirs are there."""
    empty = volumes.old_for_new(volumes.look())
    if empty:
        say("")
        console.print("[yellow]New and empty[/], while older volumes with data are there: ", end="")
        say(f"{', '.join(f'{each.service} {each.ordinal}' for each in empty)}.")
        of = variable_of(volumes.settings.stack)
        say(f"`make up ADOPT=1{of}` gives them back, as long as no pod has used the new claims; `make volumes{of}` lists them.")
