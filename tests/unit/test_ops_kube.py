"""What a person reads where the API of a stack's cluster can't be asked, or refuses."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from components.kube.api import ApiError, UnusableContext
from ops import command_line
from ops.errors import UserError
from ops.kube import explained, open_api
from tests.kubeconfig_cases import config


@pytest.fixture
def signals_as_before() -> Iterator[None]:
    """A command line that ends leaves its process' signals as they are for its last moment."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


def test_a_context_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "config"
    with pytest.raises(UserError) as refused:
        open_api("mine", str(file))
    hint = "Set KUBECONFIG to a file with the context 'mine' (the dev cluster's: `make up`, then `. .dev/env`)."
    assert str(refused.value) == f"the cluster can't be reached: no context 'mine' in {file}.\n{hint}"
    file.write_text("[")
    with pytest.raises(UserError, match=r"can't be reached: .* can't be read \(ParserError"):
        open_api("mine", str(file))


def test_a_way_to_sign_in_that_fails_is_said_and_nothing_is_sent(tmp_path: Path) -> None:
    program = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "sign-in-of-nobody",
        "interactiveMode": "Never",
        "installHint": "Get it.",
    }
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(config({"server": "https://127.0.0.1:1"}, {"exec": program})))
    with pytest.raises(UnusableContext) as problem:
        open_api("here", str(file)).get("/version")
    assert str(explained(problem.value)) == (
        "the cluster can't be reached: sign-in-of-nobody, by which the kubeconfig signs in, is not there. Get it.\n"
        "Mend that: `kubectl --context here get namespaces` needs it as well."
    )


@pytest.mark.usefixtures("signals_as_before")
@pytest.mark.parametrize(
    ("problem", "says"),
    [
        (
            ApiError("Connection refused", context="here", path="/x"),
            "the cluster of context 'here' does not answer (Connection refused).\nStart it (`make up` for the dev cluster) and try again.",
        ),
        (
            ApiError("the proxy doesn't lead there", context="here", path="/x", remedy="Correct HTTPS_PROXY."),
            "the cluster of context 'here' does not answer (the proxy doesn't lead there).\nCorrect HTTPS_PROXY.",
        ),
        (
            ApiError("", 403, "nodes is forbidden", context="here", path="/api/v1/nodes?limit=1"),
            "the API of context 'here' answered 403 Forbidden for /api/v1/nodes: nodes is forbidden\nUse a context that may. ",
        ),
        (
            ApiError("", 500, context="here", path="/api/v1/nodes"),
            "the API of context 'here' answered 500 Internal Server Error for /api/v1/nodes.",
        ),
    ],
)
def test_each_has_its_sentence_on_every_command_line(problem: ApiError, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert str(explained(problem)).startswith(says)

    @click.command()
    def asks() -> None:
        raise problem

    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr("sys.argv", ["asks"])
        command_line.run(asks, "asks")
    assert ended.value.code == 1
    assert "".join(says.split()) in "".join(capsys.readouterr().err.split()).removeprefix("error:")
