"""The canary's command line, which `pulumi up` runs for each tier.

`python -m components.canary.driver … prove` writes through one pod, reads through another, kills a
writer, and says what was kept. It ends with status 0 and the verdict as JSON on stdout, or with
status 1 and the reason on stderr, where progress goes as well. `… sweep` removes what a run that
was killed has left.

The module's name and its arguments are in the states of stacks, so they stay as they are.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import suppress
from dataclasses import replace

try:
    from components.fast_import import without_garbage_collection

    with without_garbage_collection():
        from components.canary.claim_mode import READ_WRITE_ONCE, READ_WRITE_ONCE_POD
        from components.canary.limits import FigureLimit
        from components.canary.plan import ProofPlan
        from components.canary.report import ProbeReport
        from components.canary.run import Proof
        from components.canary.signals import Interrupted, raise_on_signals
        from components.canary.spread import NotProvenIn, Spread, find_places
        from components.canary.sweep import SweepScope, sweep
        from components.canary.words import NotProven, explanation, no_answer, no_way, refused
        from components.kube.api import KubeApi
        from components.kube.errors import ApiError, UnusableContext
        from components.kube.kubeconfig import Kubeconfig, UnreadableKubeconfig
        from components.kube.quantity import quantity
except ImportError as missing:
    sys.exit(f"error: the Python package {missing.name} is missing in {sys.executable}; run `pulumi install` in the project folder.")

REQUEST = 30  # seconds for the answer to each request
PATIENCE = 20  # seconds over which a request is repeated to an API that can't answer


def progress(line: str) -> None:
    """A line for the user while it lasts; nobody may be listening any more."""
    with suppress(OSError, ValueError):
        print(f"{line}\n", end="", file=sys.stderr, flush=True)  # in one piece: several canaries may speak at once


def limit(text: str) -> FigureLimit:
    """A limit on the command line. Raises ArgumentTypeError."""
    try:
        return FigureLimit.parse(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def parse(arguments: list[str]) -> tuple[str, ProofPlan]:
    """The operation and the plan on the command line."""
    parser = argparse.ArgumentParser(prog="driver", description=__doc__)
    parser.add_argument("operation", choices=["prove", "sweep"])
    for name in ("context", "namespace", "instance"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("tier", "profile", "storage-class", "image", "probe"):
        parser.add_argument(f"--{name}", default="")
    parser.add_argument("--size", type=int, default=0, help="of the claim, in bytes")
    parser.add_argument("--sizes-enforced", action="store_true", help="the provisioner's volumes are as large as their claims")
    parser.add_argument("--limit", action="append", default=[], type=limit, metavar="NAME=NUMBER")
    parser.add_argument("--pod", default={}, type=json.loads, metavar="JSON", help="the setting canary.pod")
    parser.add_argument("--spread", default="", choices=["none", "zones", "nodes"], help="the setting canary.spread")
    parser.add_argument("--access-mode", default=READ_WRITE_ONCE, choices=[READ_WRITE_ONCE, READ_WRITE_ONCE_POD], help="of the claim")
    given = vars(parser.parse_args(arguments))
    return given.pop("operation"), ProofPlan(limits=tuple(given.pop("limit")), **given)


def open_api(context: str) -> KubeApi:
    """The API of the context's cluster. Raises NotProven when the kubeconfig doesn't have it."""
    try:
        kubeconfig = Kubeconfig.load()
        if context not in kubeconfig.contexts:
            raise no_way(context, f"no context {context!r} in {', '.join(map(str, kubeconfig.files))}")
        kubeconfig.server(context)
        kubeconfig.user(context)
    except UnreadableKubeconfig as problem:
        raise no_way(context, f"{problem.file} can't be read: {problem}") from None
    except UnusableContext as problem:
        raise no_way(context, problem) from None
    return KubeApi(kubeconfig, context, timeout=REQUEST, patience=PATIENCE)


def failure(plan: ProofPlan, problem: NotProven, proof: Proof | None) -> str:
    """What the user reads of it; `proof` is None where none was begun."""
    if isinstance(problem, NotProvenIn):
        plan, proof = replace(plan, place=problem.worst.place), problem.worst.proof
    if proof is None:
        return f"{problem.sentence}.\n{problem.hint}"
    last = proof.pods[-1] if proof.pods else None
    elsewhere = [str(outcome) for outcome in problem.others] if isinstance(problem, NotProvenIn) else []
    return explanation(plan, problem, last.name if last else "", last.report if last else ProbeReport(), proof.events, elsewhere=elsewhere)


def main(arguments: list[str]) -> int:
    """Run it from the command line."""
    operation, plan = parse(arguments)
    raise_on_signals()
    proof: Proof | None = None
    try:
        api = open_api(plan.context)
        if operation == "sweep":
            sweep(api, SweepScope(plan.namespace, plan.instance), progress)
            return 0
        progress(f"proving {plan.storage_class} with a volume of {quantity(plan.size)}, profile {plan.profile}")
        proof = Proof(api, plan, progress)
        places = find_places(api, plan, progress)
        verdict = Spread(lambda: open_api(plan.context), plan, progress).prove(places) if places else proof.prove()
        print(json.dumps(verdict, separators=(",", ":")), flush=True)
    except NotProven as problem:
        progress(failure(plan, problem, proof))
        return 1
    except ApiError as problem:
        if problem.status is None:
            progress(failure(plan, no_answer(plan.context, problem), proof))
        else:
            answer = refused(plan.context, problem)
            progress(f"{answer.sentence}.\n{answer.hint}" if answer.hint else answer.sentence)
        return 1
    except Interrupted:
        progress("interrupted; what the canary had made is being removed")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
