"""`pulumi preview` of any stack, on a copy of the project: no cluster, no credentials, no state.

The state is thrown away, so the plan is all that the stack consists of.
Against a base, the two plans are compared.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from devkube import paths
from devkube.engine import Engine, ensure_engine
from ops.console import console, errors, say, step
from ops.errors import UserError
from ops.settings import stack_file
from review import plan
from review import report as preview_report
from review.comparison import compare
from review.plan import PreviewPlan
from review.program_copy import ProgramCopy, copy_project
from review.report import Outcome
from review.revision import check_out, where_the_branch_began

POLICY = "policy"


def committed_stacks(folder: Path = paths.ROOT) -> list[str]:
    """The stacks that have a settings file in `folder`."""
    return sorted(found.name.removeprefix("Pulumi.").removesuffix(".yaml") for found in folder.glob("Pulumi.*.yaml"))


def run(stacks: Sequence[str], base: str | None, markdown: Path | None, as_json: bool) -> int:
    """Preview each stack and report; returns the exit status. Without a name, every committed one.

    `base` is a git revision to compare with.
    With `as_json` the report is all that is printed to standard output.
    """
    console.stderr = as_json
    for stack in stacks:
        stack_file(stack)  # a wrong name is said before anything is built
    commit = where_the_branch_began(base) if base else None
    engine = ensure_engine()
    with tempfile.TemporaryDirectory(prefix="storage-tiers-preview-") as folder:
        previews = _Previews(engine, Path(folder), commit, base or "")
        outcomes = [previews.outcome(stack) for stack in stacks or previews.all_stacks()]
    for outcome in outcomes:
        _show(outcome)
    if markdown:
        markdown.write_text(preview_report.markdown(outcomes), encoding="utf-8")
    if as_json:
        click.echo(json.dumps(preview_report.as_json(outcomes), indent=2))
    bad = [outcome.stack for outcome in outcomes if outcome.problems]
    _say_what_is_next(outcomes, bad, base)
    return 1 if bad else 0


@dataclass(frozen=True)
class _Previews:
    """Makes the plans, each in a copy of its own below `folder`."""

    engine: Engine
    folder: Path
    commit: str | None
    base_name: str

    def all_stacks(self) -> list[str]:
        """Every stack that has a settings file in the work tree."""
        return committed_stacks()

    def outcome(self, stack: str) -> Outcome:
        """The head's plan, with pulumi's own output, and what it would change of a base.

        What can't be planned, of head or base, is the outcome's failure.
        """
        head_copy = self.folder / f"head-{stack}"
        copy_project(head_copy)
        config = paths.ROOT / POLICY / f"{stack}.json"
        policies = ["--policy-pack", str(paths.ROOT / POLICY), *(["--policy-pack-config", str(config)] if config.exists() else [])]
        say(f"pulumi preview --stack {stack} (on a copy, with a throw-away state and no cluster)")
        head, status = self._preview(head_copy, stack, *policies, quiet=False)
        failure = "" if status == 0 or head.violations else (head.errors[0] if head.errors else f"pulumi preview: exit status {status}")
        if failure or self.commit is None:
            return Outcome(stack, head, failure, base=self.base_name)
        try:
            before = self._base_plan(stack)
        except UserError as problem:  # the other stacks have their report all the same
            errors.print(f"error: {problem}", markup=False)
            return Outcome(stack, head, str(problem), base=self.base_name)
        return Outcome(stack, head, failure, compare(before, head), self.base_name, new=before is None)

    def _base_plan(self, stack: str) -> PreviewPlan | None:
        """The base's plan; None where it has no such stack.

        Raises UserError where the base's own preview fails.
        """
        assert self.commit
        copy = self.folder / f"base-{stack}"
        check_out(self.commit, copy)
        if not (copy / f"Pulumi.{stack}.yaml").exists():
            return None
        with step(f"Plan of {self.base_name} ({self.commit[:10]})"):
            before, status = self._preview(copy, stack, quiet=True)
        if status != 0:
            raise UserError(
                f"stack {stack} of {self.base_name} ({self.commit[:10]}) can't be planned: {before.errors[0] if before.errors else status}",
                "What a merge would change can't be said then. Name another base, one that works: `--base <revision>`.",
            )
        return before

    def _preview(self, folder: Path, stack: str, *options: str, quiet: bool) -> tuple[PreviewPlan, int]:
        """Preview `stack` in its copy; its plan and pulumi's exit status."""
        copy = ProgramCopy.prepare(folder, stack, self.engine)
        made = copy.init()
        if made.returncode != 0:
            return PreviewPlan({}, (" ".join(made.stderr.split()),)), made.returncode
        events = folder / "events.json"
        arguments = ["preview", "--stack", stack, "--event-log", str(events), "--suppress-outputs", *options]
        arguments += [] if sys.stdout.isatty() and not quiet else ["--non-interactive", "--suppress-progress"]
        status = copy.pulumi.stream(*arguments, to=subprocess.DEVNULL if quiet else console.file)
        return plan.read(events), status


def _show(outcome: Outcome) -> None:
    console.print()
    console.print(f"[bold]Stack {outcome.stack}:[/] ", end="")
    say(preview_report.summary(outcome) + (f", against {outcome.base}" if outcome.comparison else ""))
    if outcome.comparison and outcome.comparison.changes:
        console.print(preview_report.table(outcome.comparison))
    if preview_report.note(outcome):
        say(preview_report.note(outcome))
    for advice in outcome.head.advice:
        say(f"Advice: {advice}")
    if outcome.problems:
        console.print("[red]Not to be merged as it is:[/]" if outcome.base else "[red]Not to be brought up as it is:[/]")
        for problem in outcome.problems:
            say(f"  {problem}")


def _say_what_is_next(outcomes: Sequence[Outcome], bad: Sequence[str], base: str | None) -> None:
    say("")
    if bad:
        say(f"Next: change what is named above, then preview {', '.join(bad)} again. Nothing was touched.")
    elif base is None:
        say(f"Next: `make preview STACK={outcomes[0].stack} BASE=origin/main` says what a merge would change. Nothing was touched.")
    else:
        say("Next: commit and open the pull request. Nothing was touched.")
