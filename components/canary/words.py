"""Why a tier isn't proven, in the words that the user reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from components.canary.events import Event
from components.canary.limits import FigureLimit
from components.canary.plan import ProofPlan
from components.canary.report import ProbeReport
from components.canary.verdict import DataFault, most_telling
from components.kube.errors import ApiError, UnusableContext

SHOWN_LOG_LINES = 10
SHOWN_EVENTS = 8
SHOWN_FINDINGS = 3  # beside the one that names the verdict


# What can be done about a cluster that asks more of pods, or has no room for them.
POD_SETTINGS = (
    "`canary.pod` in the stack's settings fits the canary's pods to the cluster: labels, annotations, tolerations, nodeSelector, "
    "resources and more (docs/proof.md)."
)


# The state says that the namespace is there, and a plain `up` believes it.
REFRESH = "What is gone from the cluster, `pulumi up --refresh` makes anew (`make up` does that)."


class NotProven(Exception):
    """The tier is not proven: `sentence` says why, `hint` what to do."""

    def __init__(self, sentence: str, hint: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint


def not_kept(findings: Sequence[DataFault]) -> NotProven | None:
    """What is wrong with what was read, the most telling finding first; None where nothing is."""
    worst = most_telling(findings)
    if worst is None:
        return None
    others = [str(finding) for finding in findings if finding is not worst]
    shown = f"; also {'; '.join(others[:SHOWN_FINDINGS])}" if others else ""
    more = f" and {len(others) - SHOWN_FINDINGS} more" if len(others) > SHOWN_FINDINGS else ""
    return NotProven(f"the volume did not keep what it acknowledged: {worst}{shown}{more}", "Don't put data on this tier.")


def too_slow(limits: Iterable[FigureLimit], figures: Mapping[str, Any], tier: str) -> NotProven | None:
    """How a tier's figures break limits; None where they keep them."""
    broken = [limit.broken(figures) for limit in limits if not limit.is_kept(figures)]
    if not broken:
        return None
    return NotProven(f"it keeps data, but {'; '.join(broken)}", f"The limits are in canary.limits.{tier} of the stack's settings.")


def no_way(context: str, reason: object) -> NotProven:
    """The kubeconfig doesn't lead to the API."""
    return NotProven(
        f"the cluster can't be reached: {reason}",
        f"Set KUBECONFIG to a file with the context {context!r} (the dev cluster's: `make up`, then `. .dev/env`).",
    )


def no_answer(context: str, problem: ApiError) -> NotProven:
    """The API couldn't be reached (`problem` has no HTTP status)."""
    if isinstance(problem, UnusableContext):
        return no_way(context, problem)
    hint = problem.remedy or "Start it (`make up` for the dev cluster) and try again."
    return NotProven(f"the cluster of context {context!r} does not answer ({problem})", hint)


def refused(context: str, problem: ApiError) -> NotProven:
    """The API answered, and refused a request (`problem` has an HTTP status)."""
    said = problem.message or problem.reason
    is_pod = problem.status in (HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY) and problem.path.endswith("/pods")
    sentence = f"the API of context {context!r} refused a request of the canary ({problem.status}): {said}"
    gone = problem.status == HTTPStatus.NOT_FOUND and said.startswith("namespaces ")
    return NotProven(sentence, POD_SETTINGS if is_pod else REFRESH if gone else "")


def reason_of(problem: NotProven | ApiError, context: str) -> str:
    """Why something that isn't needed for the verdict didn't work, in few words."""
    if isinstance(problem, ApiError):
        return str(no_answer(context, problem)) if problem.status is None else problem.reason
    return problem.sentence


_DISK_ERRORS = {
    "ENOSPC": "the volume is full",
    "EDQUOT": "the volume's quota is used up",
    "EROFS": "the volume is read-only",
    "EIO": "the volume's device fails",
    "EACCES": "the volume can't be written by a pod that is not root (fsGroup has no effect on it)",
    "EPERM": "the volume can't be written by a pod that is not root (fsGroup has no effect on it)",
    "ENOTCONN": "the volume's file system is gone",
    "ESTALE": "the volume's file system is gone",
    # PostgreSQL's SQLSTATEs (Appendix A of its manual).
    "53100": "the volume is full",
    "58030": "the volume's device fails",
    "XX001": "data on the volume is damaged",
    "XX002": "an index on the volume is damaged",
}


def failed_operation(fault: Mapping[str, str]) -> str:
    """The probe's `fault`, an operation of the volume that failed, as a sentence."""
    what = _DISK_ERRORS.get(fault["errno"], "an operation of the volume failed")
    where = f" at {fault['path']}" if fault["path"] else ""
    return f"{what}: {fault['message']} ({fault['errno']}){where}"


def explanation(
    plan: ProofPlan,
    problem: NotProven,
    pod: str,
    report: ProbeReport,
    events: Sequence[Event],
    *,
    elsewhere: Sequence[str] = (),
    of: str = "proven",
) -> str:
    """All that the user reads of a failed proof.

    That is the sentence, what the last pod has said, and the events that matter.
    `pod` is that pod's name; without a pod the report is empty.
    `elsewhere` has a line for each other place. `of` is what the tier isn't.
    """
    lines = [f"tier {plan.where} is not {of}: {problem.sentence}.", *elsewhere]
    faults = [f"fault {json.dumps(value)}" for value in report.values("fault")]
    said = [*report.other[-SHOWN_LOG_LINES:], *faults]
    if said:
        lines += [f"Log of pod {pod}:", *(f"  {line[:300]}" for line in said)]
    if events:
        telling = [event for event in events if event.is_warning] or events
        lines += ["Events:", *(f"  {str(event)[:400]}" for event in telling[-SHOWN_EVENTS:])]
    if problem.hint:
        lines.append(problem.hint)
    if of == "proven":
        lines.append("No new claim is made on this tier.")
    return "\n".join(lines)
