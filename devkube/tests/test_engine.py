"""Where the parts of the engine come from, and in which order, with fake executables on a PATH of
the test's own."""

from __future__ import annotations

import sys
import textwrap
import time
from pathlib import Path

import pytest
from pulumi.runtime import rpc

from devkube import engine, paths
from devkube.engine import Engine
from devkube.tests.test_build import alive
from devkube.toolchain import build
from devkube.toolchain.stand_ins import protocol
from devkube.versions import COMMAND, DOWNLOADS, GOOD, KUBERNETES, LANGUAGE, PULUMI, version_of

WANTED = DOWNLOADS[PULUMI]

# Starts as official plugins do: takes no `--version`, and ends where no engine answers. Of all
# calls it knows the one that the engine makes first.
PLUGIN = """
    #!{python} -I
    import sys
    from concurrent.futures import ThreadPoolExecutor

    import grpc
    from google.protobuf import empty_pb2, wrappers_pb2

    if sys.argv[1:] == ["--version"]:
        sys.exit("flag provided but not defined: -version")
    engine = grpc.insecure_channel(sys.argv[-1], options=[("grpc.enable_http_proxy", 0)])
    grpc.channel_ready_future(engine).result(timeout=10)
    answer = grpc.unary_unary_rpc_method_handler(
        lambda request, context: wrappers_pb2.StringValue(value="{version}"),
        empty_pb2.Empty.FromString,
        wrappers_pb2.StringValue.SerializeToString,
    )
    server = grpc.server(ThreadPoolExecutor())
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("pulumirpc.{service}", {{"GetPluginInfo": answer}})])
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    server.wait_for_termination()
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has nothing, no network, and where every build succeeds at once."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.delenv("PULUMI_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(paths, "DOT_DEV", tmp_path / "clone" / ".dev")
    monkeypatch.setattr(paths, "cache", lambda: tmp_path / "cache")
    built: dict[str, Path] = {}

    def fake_build(name: str) -> Path:
        built[name] = tmp_path / "cache" / "built" / name
        return built[name]

    monkeypatch.setattr(build, "built", built.get)
    monkeypatch.setattr(build, "build", fake_build)
    monkeypatch.setattr(engine, "why_no_download", lambda: "Connection refused")
    (tmp_path / "home").mkdir()
    return tmp_path


def program(path: Path, version: str) -> Path:
    """A program that says this version, in the way of its kind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name == PULUMI:
        path.write_text(f"#!/bin/sh\n[ $1 = version ] && echo {version}\n")
    else:
        service = "LanguageRuntime" if path.name == LANGUAGE else "ResourceProvider"
        path.write_text(textwrap.dedent(PLUGIN).lstrip().format(python=sys.executable, version=version, service=service))
    path.chmod(0o755)
    return path


def origins(found: Engine) -> dict[str, str]:
    return {part.name: part.origin for part in found.parts}


def test_with_nothing_and_no_network_all_is_built_or_stood_in_for(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = engine.ensure_engine()
    assert origins(found) == {PULUMI: "built here", LANGUAGE: "stand-in", KUBERNETES: "built here", COMMAND: "stand-in"}
    assert {folder.name for folder in found.folders} == {"pulumi", "kubernetes-provider", "bin"}
    said = capsys.readouterr().out
    assert said.count("no official download") == 3 and "refused" in said
    assert "stand-ins of this project" in said


def test_what_is_built_is_used_again_without_asking_the_network(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = engine.ensure_engine()
    capsys.readouterr()
    monkeypatch.setattr(engine, "why_no_download", lambda: pytest.fail("asked the network"))
    assert engine.ensure_engine() == first
    assert "no official download" not in capsys.readouterr().out


def test_the_users_own_installation_is_used_and_nothing_else(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, version in ((PULUMI, "v3.260.1"), (LANGUAGE, ""), (KUBERNETES, "v4.34.2"), (COMMAND, "1.2.1")):
        program(home / "path" / name, version)
    monkeypatch.setattr(build, "build", lambda name: pytest.fail(f"built {name}"))
    monkeypatch.setattr(engine, "why_no_download", lambda: pytest.fail("asked the network"))
    found = engine.ensure_engine()
    assert set(origins(found).values()) == {"PATH"}
    assert found.folders == ()
    assert [part.version for part in found.parts] == ["3.260.1", "3.260.1", "4.34.2", "1.2.1"]


def test_plugins_in_the_users_plugin_folder_count(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(home / "path" / PULUMI, "v3.258.0")
    program(home / "path" / LANGUAGE, "")
    plugins = home / "home" / ".pulumi" / "plugins"
    program(plugins / "resource-kubernetes-v4.34.2" / KUBERNETES, "")
    program(plugins / "resource-command-v1.2.1" / COMMAND, "")
    monkeypatch.setattr(engine, "why_no_download", lambda: pytest.fail("asked the network"))
    found = engine.ensure_engine()
    assert set(origins(found).values()) == {"PATH"} and found.folders == ()


def test_a_plugin_that_is_still_being_unpacked_does_not_count(home: Path) -> None:
    folder = home / "home" / ".pulumi" / "plugins" / "resource-command-v1.2.1"
    program(folder / COMMAND, "")
    (folder.parent / "resource-command-v1.2.1.partial").touch()
    assert origins(engine.ensure_engine())[COMMAND] == "stand-in"


@pytest.mark.parametrize("version", ["v3.257.9", "v2.99.0", "v4.0.0", "garbage"])
def test_a_pulumi_that_is_too_old_or_too_new_is_named_and_left_alone(home: Path, version: str, capsys: pytest.CaptureFixture[str]) -> None:
    own = program(home / "path" / PULUMI, version)
    before = own.read_bytes()
    assert origins(engine.ensure_engine())[PULUMI] == "built here"
    assert str(own) in capsys.readouterr().out.replace("\n", "") and own.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "version", "instead"),
    [
        (KUBERNETES, "4.17.9", "built here"),
        (KUBERNETES, "5.0.0", "built here"),
        (COMMAND, "0.11.1", "stand-in"),
        (COMMAND, "", "stand-in"),
        (LANGUAGE, "3.78.1", "stand-in"),
    ],
)
def test_a_plugin_that_is_too_old_or_too_new_is_named_and_left_alone(
    home: Path, name: str, version: str, instead: str, capsys: pytest.CaptureFixture[str]
) -> None:
    own = program(home / "path" / name, version)
    assert origins(engine.ensure_engine())[name] == instead
    said = " ".join(capsys.readouterr().out.split())
    assert f"is version {version or 'unknown'}: {GOOD[name]} is needed" in said
    assert own.exists()


@pytest.mark.parametrize(("name", "version"), [(KUBERNETES, "4.18.1"), (KUBERNETES, "v4.33.0"), (COMMAND, "1.0.1"), (LANGUAGE, "3.260.0")])
def test_a_plugin_is_asked_as_the_engine_asks_it(
    home: Path, name: str, version: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # a proxy has no say on this machine's own addresses
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    own = program(home / "path" / name, version)
    assert next((part.version, part.path) for part in engine.ensure_engine().parts if part.name == name) == (version.removeprefix("v"), own)


def test_a_plugin_behind_a_wrapper_is_asked_and_ended_too(tmp_path: Path) -> None:
    inner = program(tmp_path / "libexec" / COMMAND, "1.2.1")
    wrapper = tmp_path / COMMAND
    wrapper.write_text(f'#!/bin/sh\necho $$ > {tmp_path}/pid\n"{inner}" "$@"\n')
    wrapper.chmod(0o755)
    assert version_of(wrapper) == "1.2.1"
    group, end = int((tmp_path / "pid").read_text()), time.monotonic() + 30
    while alive(group):  # what was killed is gone a moment later
        assert time.monotonic() < end, alive(group)
        time.sleep(0.05)


def test_what_says_no_version_has_none(tmp_path: Path) -> None:
    assert version_of(tmp_path / KUBERNETES) == ""
    for text in ("exit 1", "echo 4.18.1", "echo 1"):  # ends; no port; a port where nothing answers
        (tmp_path / KUBERNETES).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / KUBERNETES).chmod(0o755)
        assert version_of(tmp_path / KUBERNETES) == ""


def test_the_sdks_own_installation_comes_before_a_build(home: Path) -> None:
    program(home / "home" / ".pulumi" / "versions" / WANTED / "bin" / PULUMI, f"v{WANTED}")
    program(home / "home" / ".pulumi" / "versions" / WANTED / "bin" / LANGUAGE, "")
    found = engine.ensure_engine()
    assert origins(found)[PULUMI] == origins(found)[LANGUAGE] == "official download"
    assert home / "home" / ".pulumi" / "versions" / WANTED / "bin" in found.folders


def test_what_dev_env_put_on_path_does_not_hide_the_users_own(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = program(paths.cache() / "built" / "pulumi" / PULUMI, f"v{WANTED}")
    theirs = program(home / "path" / PULUMI, "v3.259.0")
    monkeypatch.setenv("PATH", f"{ours.parent}:{theirs.parent}")
    assert engine.ensure_engine().parts[0].path == theirs


def test_a_launcher_of_an_earlier_run_does_not_hide_the_official_plugin(home: Path) -> None:
    engine.ensure_engine()
    launcher = paths.DOT_DEV / "bin" / COMMAND
    assert launcher.exists()
    program(home / "path" / COMMAND, "1.2.1")
    assert origins(engine.ensure_engine())[COMMAND] == "PATH"
    assert not launcher.exists()


def test_a_download_that_fails_or_hangs_is_explained_in_one_line_and_ends() -> None:
    assert engine.run_bounded(["sh", "-c", "echo first; echo the reason >&2; exit 3"], 10) == "the reason"
    started = time.monotonic()
    assert "not done after" in engine.run_bounded(["sh", "-c", "sleep 60 & sleep 60"], 0.3)
    assert time.monotonic() - started < 10
    assert engine.run_bounded(["true"], 10) == ""
    assert "No such file" in engine.run_bounded(["/nowhere/pulumi"], 10)


def test_a_silent_network_is_given_up_after_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts and never answers
        engine.why_no_download.cache_clear()
        monkeypatch.setattr(engine, "DOWNLOAD_HOST", f"http://127.0.0.1:{silent.getsockname()[1]}/")
        monkeypatch.setattr(engine, "_REACHED_WITHIN", 0.3)
        started = time.monotonic()
        assert "timed out" in engine.why_no_download()
        assert time.monotonic() - started < 5
    engine.why_no_download.cache_clear()


def test_the_stand_ins_know_the_sdks_unknown() -> None:
    """They don't import the SDK, which says it."""
    assert protocol.UNKNOWN == rpc.UNKNOWN


def test_what_would_be_built_is_known_before_and_nothing_is_afterwards(home: Path) -> None:
    assert engine.to_build() == ["pulumi", "kubernetes-provider"]
    engine.ensure_engine()
    assert engine.to_build() == []
