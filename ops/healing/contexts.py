"""The context by which a state reaches its cluster, where that has been renamed.

`pulumi destroy` doesn't run the program: it goes by the context that the last `up` has written into
the state, and an `up` that fails has written it into some entries and not into others. Once no
kubeconfig has that context any more, nothing in the state can be deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ops.healing.state import COMMAND, Entry

_PROVIDER = "pulumi:providers:kubernetes"
_OPTION = "--context="  # of the project's own commands


def rename_unknown(deployment: Mapping[str, Any], identifier: str, context: str, known: Collection[str]) -> list[str]:
    """Put `context` in place of each context that isn't among those `known`, in the entries of the
    cluster that has this identifier in the settings. Changes the deployment; the old names.

    An entry of another identifier is of another cluster, and stays as it is.
    """
    entries = [entry for entry in deployment.get("resources") or [] if _identifier(entry) == identifier]
    used = dict.fromkeys(name for entry in entries for name in _contexts(entry))
    unknown = [name for name in used if name != context and name not in known]
    for entry in entries:
        for values in (entry["inputs"], entry.get("outputs") or {}):
            _rename(values, unknown, context)
    return unknown


def _identifier(entry: Entry) -> str:
    """By which the settings tell the entry's cluster; empty where it has none."""
    inputs = entry.get("inputs") or {}
    if entry["type"] == _PROVIDER:
        return str(inputs.get("clusterIdentifier") or "")
    triggers = inputs.get("triggers") or [] if entry["type"] == COMMAND else []
    return str(triggers[0]) if triggers else ""


def _contexts(entry: Entry) -> Iterator[str]:
    inputs = entry["inputs"]
    if entry["type"] == _PROVIDER:
        yield inputs.get("context") or ""
    for word in inputs.get("interpreter") or []:
        if str(word).startswith(_OPTION):
            yield word.removeprefix(_OPTION)


def _rename(values: dict[str, Any], names: Collection[str], context: str) -> None:
    if values.get("context") in names:
        values["context"] = context
    if values.get("interpreter"):
        options = {f"{_OPTION}{name}": f"{_OPTION}{context}" for name in names}
        values["interpreter"] = [options.get(word, word) for word in values["interpreter"]]
