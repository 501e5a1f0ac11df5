"""A context that was renamed is renamed in the state too: everywhere, and nowhere else."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ops.errors import UserError
from ops.healing.contexts import rename_unknown
from ops.healing.healing import Healing
from ops.healing.objects import Found
from ops.healing.state import Ref
from tests.unit.test_healing import OURS, WHOLE, Engine
from tests.unit.volume_objects import settings

IDENTIFIER = "storage-tiers-dev"


def provider(context: str, identifier: str = IDENTIFIER) -> dict[str, Any]:
    values = {"context": context, "clusterIdentifier": identifier}
    return {"urn": f"provider {context}", "type": "pulumi:providers:kubernetes", "inputs": values, "outputs": dict(values)}


def command(context: str, identifier: str = IDENTIFIER) -> dict[str, Any]:
    values = {"interpreter": ["run", f"--context={context}", "--namespace=data"], "triggers": [identifier, "data"]}
    return {"urn": f"command {context}", "type": "command:local:Command", "inputs": values, "outputs": copy.deepcopy(values)}


def test_every_entry_of_the_cluster_gets_the_name_that_the_settings_have() -> None:
    deployment = {"resources": [provider("old"), command("older"), command("new"), {"urn": "a", "type": "pulumi:pulumi:Stack"}]}
    assert rename_unknown(deployment, IDENTIFIER, "new", {"new"}) == ["old", "older"]
    found = deployment["resources"]
    for values in ("inputs", "outputs"):
        assert found[0][values]["context"] == "new"
        assert found[1][values]["interpreter"] == ["run", "--context=new", "--namespace=data"]
    assert rename_unknown(deployment, IDENTIFIER, "new", {"new"}) == []


@pytest.mark.parametrize(
    ("entry", "known"),
    [
        (provider("old"), {"old", "new"}),  # it is still there, and leads to the cluster
        (provider("old", "another cluster"), {"new"}),
        (command("old", "another cluster"), {"new"}),
        (provider("new"), set()),
    ],
)
def test_and_no_other_entry_does(entry: dict[str, Any], known: set[str]) -> None:
    before = copy.deepcopy(entry)
    assert rename_unknown({"resources": [entry]}, IDENTIFIER, "new", known) == []
    assert entry == before


class Cluster:
    """In place of the cluster's objects: one namespace, the stack's or not."""

    def __init__(self, marks: dict[str, str]) -> None:
        self.found = Found(Ref("Namespace", "", "data"), marks, terminating=False)

    def list_all(self, namespaces: list[str]) -> list[Found]:
        return [self.found]

    def find(self, inputs: Any) -> Found | None:
        return None


def healed(marks: dict[str, str], **options: Any) -> Engine:
    engine = Engine([*copy.deepcopy(WHOLE), provider("old"), command("old")])
    found = settings()
    Healing(engine, Cluster(marks), found, {found.cluster.context}).complete_state(**options)  # type: ignore[arg-type]
    return engine


def test_a_heal_writes_it_before_a_destroy_goes_by_it(capsys: pytest.CaptureFixture[str]) -> None:
    engine = healed(OURS, ours_alone=False, destroying=True)
    assert engine.imported is not None
    names = [each["inputs"].get("context") for each in engine.imported["resources"] if "provider old" in each["urn"]]
    assert names == [settings().cluster.context]
    assert "The state names the context 'old', which the kubeconfig doesn't have: now" in capsys.readouterr().out.replace("\n", " ")


def test_a_cluster_without_anything_of_the_stack_may_be_another_one() -> None:
    with pytest.raises(UserError, match=r"has nothing of stack dev.*\n?.*--take-over"):
        healed({}, ours_alone=False, destroying=True)
