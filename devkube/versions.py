"""Versions of the engine and its plugins: which are got where a machine has none, which of a user's
own are good, and how a program that was found is asked for its own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

PULUMI = "pulumi"
LANGUAGE = "pulumi-language-python"
KUBERNETES = "pulumi-resource-kubernetes"
COMMAND = "pulumi-resource-command"

_ANSWERS_WITHIN = 20.0  # seconds for a program to say its version; a plugin of 270 MB takes two on a busy machine


class Good(NamedTuple):
    """Which versions of a part are good: from `oldest` on, below the major version `below`, and
    why."""

    oldest: tuple[int, int]
    below: int
    why: str

    def accepts(self, version: str) -> bool:
        """Whether `version` (as `3.258.0` or `v3.258.0-dev`) is good.

        One that can't be read isn't.
        """
        numbers = re.match(r"v?(\d+)\.(\d+)", version)
        return numbers is not None and self.oldest <= (int(numbers[1]), int(numbers[2])) < (self.below, 0)

    def __str__(self) -> str:
        return f"{self.oldest[0]}.{self.oldest[1]} or newer, below {self.below}"


# Which of a user's own are good. The language host comes with the engine, in the same version.
GOOD = {
    PULUMI: Good((3, 258), 4, "the oldest that the tests ran with"),
    LANGUAGE: Good((3, 258), 4, "it comes with the engine, and an older one may lack what that calls"),
    KUBERNETES: Good((4, 18), 5, "the oldest that the tests ran with"),
    COMMAND: Good((1, 0), 2, "the program uses what 1.0 promised to keep"),
}

# What is built here where nothing can be downloaded: in devkube/toolchain, the version of
# github.com/pulumi/pulumi/pkg/v3, and the tag of the provider's commit.
BUILT = {PULUMI: "3.274.1", KUBERNETES: "4.25.0"}

# What is downloaded: the same engine, and the plugins of the pip packages pulumi-kubernetes and
# pulumi-command.
DOWNLOADS = {PULUMI: "3.274.1", KUBERNETES: "4.34.2", COMMAND: "1.2.1"}


def version_of(executable: Path) -> str:
    """The version of a found engine or plugin, without a leading v, as it says itself.

    `pulumi` is asked by `pulumi version`, and a plugin as the engine asks it: it is started, and
    its GetPluginInfo is called. Plugins have no `--version`, and take it for a wrong start.
    Empty where none is said within 20 seconds.
    """
    if executable.name.startswith(("pulumi-resource-", "pulumi-language-")):
        return _said_by_plugin(executable)
    return _said_by_program(executable)


def _said_by_program(executable: Path) -> str:
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        asked = subprocess.run(
            [executable, "version"], capture_output=True, text=True, timeout=_ANSWERS_WITHIN, stdin=subprocess.DEVNULL, env=environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\bv?(\d+\.\d+\.\d+\S*)", asked.stdout)
    return found[1] if asked.returncode == 0 and found else ""


def _said_by_plugin(executable: Path) -> str:
    """Ask a plugin over its own protocol (pulumi/pulumi, proto/pulumi/plugin.proto).

    A plugin looks for its engine at the address that it is started with, and ends where nothing
    answers: a server without any services is enough of one.
    """
    import grpc  # type: ignore[import-untyped] # noqa: PLC0415 - 0.1 s that only a user's own plugins take

    engine = grpc.server(ThreadPoolExecutor(max_workers=2))
    address = f"127.0.0.1:{engine.add_insecure_port('127.0.0.1:0')}"
    engine.start()
    try:
        process = subprocess.Popen(
            [executable, address], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
    except OSError:
        engine.stop(None)
        return ""
    too_late = threading.Timer(_ANSWERS_WITHIN, _kill, [process])
    too_late.start()
    with process:
        try:
            assert process.stdout
            port = process.stdout.readline().strip()  # nothing once it has ended
            return _plugin_info(executable, int(port)) if port.isdigit() else ""
        finally:
            too_late.cancel()
            _kill(process)
            engine.stop(None)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a plugin with all that it has started: it may be a wrapper's child."""
    if os.name == "nt":
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _plugin_info(executable: Path, port: int) -> str:
    import grpc  # noqa: PLC0415
    from google.protobuf import empty_pb2, wrappers_pb2  # type: ignore[import-untyped] # noqa: PLC0415

    service = "ResourceProvider" if executable.name.startswith("pulumi-resource-") else "LanguageRuntime"
    # Never by way of a proxy, which gRPC would take from the environment.
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        ask = channel.unary_unary(
            f"/pulumirpc.{service}/GetPluginInfo",
            request_serializer=empty_pb2.Empty.SerializeToString,
            # PluginInfo is one text, as StringValue is. Its own class is in the SDK, whose import
            # takes half a second.
            response_deserializer=wrappers_pb2.StringValue.FromString,
        )
        with contextlib.suppress(grpc.RpcError):
            return str(ask(empty_pb2.Empty(), timeout=_ANSWERS_WITHIN).value).removeprefix("v")
    return ""
