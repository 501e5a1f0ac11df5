"""States that earlier versions of this program have written: on each of them today's program has
nothing to change.

Each file in states/ is a `pulumi stack export` after an `up` of commit 8e8680f: the stacks as they
are committed, before and after an adoption. What changes a registration (a name, a parent, an
input, a dependency) plans a change here.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.program import Program

pytestmark = pytest.mark.engine

STATES = sorted((Path(__file__).parent / "states").glob("*.json.gz"))


def name_of(file: Path) -> str:
    """`aws-adopted` of `aws-adopted.json.gz`."""
    return file.name.partition(".")[0]


@pytest.mark.parametrize("file", STATES, ids=name_of)
def test_nothing_changes_on_a_state_of_the_version_before(file: Path, program_factory: Callable[..., Program], tmp_path: Path) -> None:
    text = gzip.decompress(file.read_bytes()).decode()
    state: dict[str, Any] = json.loads(text)
    resources = state["deployment"]["resources"]
    stack = name_of(file).partition("-")[0]
    program = program_factory(stack=stack)
    settings = next(each["outputs"] for each in resources if each["type"] == "pulumi:pulumi:Stack")
    program.configure(cluster=settings["cluster"], protect=is_protected(resources), canary={"image": image_of(resources)})
    imported = tmp_path / "state.json"
    imported.write_text(text, encoding="utf-8")
    program.pulumi("stack", "import", "--file", str(imported))
    assert program.preview_steps() == []


def test_the_cluster_that_a_tier_was_proven_on_is_read_of_its_component(program_factory: Callable[..., Program], tmp_path: Path) -> None:
    """The engine has a component's outputs of the run before, in a preview without a cluster too:
    one tier is as it is noted, the other one's note asks for another proof than there was.
    """
    state: dict[str, Any] = json.loads(gzip.decompress(next(each for each in STATES if name_of(each) == "dev").read_bytes()))
    resources = state["deployment"]["resources"]
    program = program_factory(stack="dev")
    program.configure(canary={"image": image_of(resources)})
    uid = "0e9b6f4e-3c39-4c0e-9a80-aaaabbbbcccc"
    for each in resources:
        if "index:TierCanary::" in each["urn"]:
            each["outputs"]["provenOn"] = {"uid": uid, "trigger": uid}
        if each["urn"].endswith("::canary-database"):
            each["inputs"]["triggers"].append(uid)
            each["outputs"]["triggers"] = each["inputs"]["triggers"]
    imported = tmp_path / "state.json"
    imported.write_text(json.dumps(state), encoding="utf-8")
    program.pulumi("stack", "import", "--file", str(imported))
    steps = program.preview_steps()
    assert {step["urn"].rpartition("::")[2] for step in steps} == {"canary-streaming"}
    assert steps[0]["newState"]["inputs"]["triggers"][4:] == [uid]


def is_protected(resources: list[dict[str, Any]]) -> bool:
    """Whether the stack's setting `protect` was true."""
    return any(each.get("protect") for each in resources)


def image_of(resources: list[dict[str, Any]]) -> str:
    """The canary's image."""
    arguments = next(each["inputs"]["interpreter"] for each in resources if each["urn"].endswith("::canary-database"))
    return str(next(one.removeprefix("--image=") for one in arguments if one.startswith("--image=")))


def test_the_states_are_those_of_all_stacks_before_and_after_an_adoption() -> None:
    wanted = {f"{stack}{ending}" for stack in ("aws", "dev", "gcp") for ending in ("", "-adopted")}
    assert {name_of(file) for file in STATES} == wanted
