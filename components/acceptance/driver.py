"""The command line of an engine's acceptance, which `pulumi up` runs for each tier where the
setting `canary.engine` is true.

It ends with status 0 and the verdict as JSON on stdout, or with status 1 and the reason on stderr,
where progress goes as well.

The module's name and its arguments are in the states of stacks, so they stay as they are.
"""

from __future__ import annotations

import argparse
import json
import sys

try:
    from components.fast_import import without_garbage_collection

    with without_garbage_collection():
        from components.acceptance.acceptance import Acceptance
        from components.acceptance.engines import ACCEPTANCES
        from components.acceptance.of_settings import other_image
        from components.acceptance.plan import AcceptancePlan, new_seed
        from components.canary.driver import limit, open_api, progress
        from components.canary.plan import ProofPlan
        from components.canary.report import ProbeReport
        from components.canary.signals import Interrupted, raise_on_signals
        from components.canary.words import NotProven, explanation, no_answer, refused
        from components.kube.errors import ApiError
except ImportError as missing:
    sys.exit(f"error: the Python package {missing.name} is missing in {sys.executable}; run `pulumi install` in the project folder.")


def parse(arguments: list[str]) -> AcceptancePlan:
    """The plan on the command line, with a seed of its own."""
    parser = argparse.ArgumentParser(prog="driver", description=__doc__)
    parser.add_argument("operation", choices=["accept"])
    for name in ("context", "namespace", "instance", "tier", "profile", "storage-class", "image", "client-image"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--engine", required=True, choices=list(ACCEPTANCES))
    parser.add_argument("--size", type=int, required=True, help="of each claim, in bytes")
    parser.add_argument("--sizes-enforced", action="store_true", help="the provisioner's volumes are as large as their claims")
    parser.add_argument("--limit", action="append", default=[], type=limit, metavar="NAME=NUMBER")
    parser.add_argument("--pod", default={}, type=json.loads, metavar="JSON", help="the setting canary.pod")
    given = vars(parser.parse_args(arguments))
    del given["operation"]
    engine, client, limits = given.pop("engine"), given.pop("client_image"), tuple(given.pop("limit"))
    return AcceptancePlan(ProofPlan(probe="", other_image=other_image(engine), **given), engine, client, new_seed(), limits=limits)


def failure(plan: AcceptancePlan, problem: NotProven, run: Acceptance | None) -> str:
    """What the user reads of it; `run` is None where none was begun."""
    if run is None:
        return f"{problem.sentence}.\n{problem.hint}"
    last = run.pods[-1] if run.pods else None
    return explanation(plan.proof, problem, last.name if last else "", last.report if last else ProbeReport(), run.events, of="accepted")


def main(arguments: list[str]) -> int:
    """Run it from the command line."""
    plan = parse(arguments)
    raise_on_signals()
    context = plan.proof.context
    run: Acceptance | None = None
    try:
        api = open_api(context)
        progress(f"{plan.engine} on {plan.proof.storage_class}, seed {plan.seed}")
        run = ACCEPTANCES[plan.engine](api, plan, progress)
        print(json.dumps(run.accept(), separators=(",", ":")), flush=True)
    except NotProven as problem:
        progress(failure(plan, problem, run))
        return 1
    except ApiError as problem:
        progress(failure(plan, no_answer(context, problem) if problem.status is None else refused(context, problem), run))
        return 1
    except Interrupted:
        progress("interrupted; what the engine's run had made is being removed")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
