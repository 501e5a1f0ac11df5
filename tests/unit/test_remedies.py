"""What works, typed: its words, and that it does away with the finding when it is done."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from components.kinds import KINDS
from components.provisioners import PROVISIONERS, Finding
from components.provisioners.remedies import Add, Advice, Drop, Either, Remedy, Rename, Set, as_yaml, sentence
from tests.unit import test_ebs, test_gce_pd
from tests.unit.findings import findings

WORDS: list[tuple[Remedy, str]] = [
    (Set(3000), "3000"),
    (Set("gp3"), "gp3"),
    (Set(True), "true"),
    (Set(["a", "b"]), "[a, b]"),
    (Set({"team": "data"}), "{team: data}"),
    (Set(500, with_={"increase": True}), "500, with `increase: true`"),
    (Add({"size": 100}), "with `size: 100`"),
    (Add({"size": 100, "mode": "fast"}), "with `size: 100` and `mode: fast`"),
    (Rename("fstype"), "fstype: xfs"),
    (Rename("iops", 3000, without="iopspergb"), "iops: 3000, without `iopspergb`"),
    (Drop("iops"), "without `iops`"),
    (Drop("replication", with_={"type": "pd-ssd"}), "without `replication`, with `type: pd-ssd`"),
    (Either(Set(True), Drop("key")), "true, or without `key`"),
    (Advice("48 tags"), "48 tags"),
]


@pytest.mark.parametrize(("remedy", "words"), WORDS)
def test_a_remedy_in_words(remedy: Remedy, words: str) -> None:
    assert sentence(remedy, "xfs") == words
    assert Finding("error", "a", "xfs", "a rule", remedy).works == words


@pytest.mark.parametrize("value", [True, 3000, "gp3", ["a", 1], {"fast": {"iops": 6000, "zones": ["a"]}}])
def test_a_value_is_written_as_yaml(value: object) -> None:
    assert yaml.safe_load(as_yaml(value)) == value


def changed(settings: dict[str, Any], path: str, value: object, remedy: Remedy) -> dict[str, Any]:
    """The settings of a tier with a remedy for the value at `path`, a key of the tier itself."""
    match remedy:
        case Set():
            old = settings.get(path)
            if isinstance(old, list) and not isinstance(remedy.value, list):
                entries = [each for each in old if each != value] if not isinstance(value, list) else []
                return {**settings, path: [*entries, remedy.value]}
            return {**settings, path: remedy.value, **remedy.with_}
        case Add():
            return {**settings, **remedy.with_}
        case Rename():
            rest = {key: each for key, each in settings.items() if key != path}
            return {**rest, remedy.to: value if remedy.value is None else remedy.value}
        case Drop():
            rest = {key: each for key, each in settings.items() if key != remedy.key}
            if isinstance(rest.get(path), list):
                rest[path] = [each for each in rest[path] if each != remedy.key]
            return {**rest, **remedy.with_}
    raise AssertionError(remedy)


CASES = [
    *(("ebs", case) for case in test_ebs.CASES),
    *(("gce-pd", case) for case in test_gce_pd.CASES if case != "tags: twice"),  # the example is one of the two
]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_a_remedy_does_away_with_its_finding(name: str, case: str) -> None:
    wanted, sizes, _ = (test_ebs.CASES if name == "ebs" else test_gce_pd.CASES)[case]
    defaults = PROVISIONERS[name].defaults(KINDS["database"])
    for found in findings(name, wanted, sizes):
        if found.volume or found.path.startswith(("snapshots.", "attributes.")) or isinstance(found.remedy, Advice):
            continue  # a size is a service's, and advice is no change
        remedies = [found.remedy.first, found.remedy.second] if isinstance(found.remedy, Either) else [found.remedy]
        for remedy in remedies:
            better = changed({**defaults, **wanted}, found.path, found.value, remedy)
            again = {(each.path, each.rule) for each in findings(name, better, sizes)}
            assert (found.path, found.rule) not in again, (found, better)
