"""A stack behind a proxy: everything that asks its cluster goes the way that kubectl goes.

That is the program, Pulumi's plugin, the canary's driver, `ops` and what guards a destroy. The
tests run in the order of the file, on one stack with one tier.
"""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from devkube.cluster import Access
from devkube.images import reference
from devkube.toolchain.build import build
from tests import kubeconfig
from tests.conftest import CONTEXT
from tests.program import Program
from tests.recording_server import Proxies, proxies_to

pytestmark = pytest.mark.cluster

NAME = "kubernetes.default.svc"  # the API server's certificate has it, and nothing on this machine resolves it
DESTROY = ("destroy", "--yes", "--skip-preview")
CANARY = {"enabled": True, "image": reference("python")}


@dataclasses.dataclass(frozen=True)
class Network:
    """The stack, and the ways to its cluster."""

    program: Program
    proxies: Proxies
    port: int
    direct: Path  # kubeconfig of the loopback
    by_cluster: Path  # the cluster has a `proxy-url`
    by_environment: Path  # neither a proxy nor an authority: the environment has them
    authority: Path
    outside: Path  # an address of this machine that isn't the loopback's

    @property
    def outside_host(self) -> str:
        return self.proxies.outside.partition(":")[0]

    def going(self, file: Path, **variables: str) -> Program:
        """The same stack by another way."""
        return dataclasses.replace(self.program, variables={**self.program.variables, "KUBECONFIG": str(file), **variables})

    @property
    def asked(self) -> str:
        """What the working proxy is asked for."""
        return f"CONNECT {NAME}:{self.port}"


@pytest.fixture(scope="module")
def network(program_factory: Callable[..., Program], access: Access, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    folder = tmp_path_factory.mktemp("network")
    direct = kubeconfig.write(access, folder / "direct", access.context)
    entry = yaml.safe_load(direct.read_text())["clusters"][0]["cluster"]
    port = urlsplit(entry["server"]).port or 443
    server = f"https://{NAME}:{port}"
    with proxies_to(port) as proxies:
        by_cluster = kubeconfig.write(access, folder / "cluster", access.context, server=server, changed={"proxy-url": proxies.working})
        nothing = {"certificate-authority-data": None, "certificate-authority": None}
        by_environment = kubeconfig.write(access, folder / "environment", access.context, server=server, changed=nothing)
        authority = folder / "authority.pem"
        authority.write_bytes(kubeconfig.authority_of(entry))
        if not proxies.outside:
            pytest.skip("this machine has no address but the loopback's")
        outside = kubeconfig.write(
            access, folder / "outside", access.context, server=f"https://{proxies.outside}", changed={"tls-server-name": NAME}
        )
        program = program_factory(access=access)
        program.configure(
            cluster={"context": access.context, "identifier": access.context},
            tiers={"database": {}},
            services={"postgres": {"tier": "database", "size": "1Gi"}},
            canary=CANARY,
        )
        yield Network(program, proxies, port, direct, by_cluster, by_environment, authority, outside)


def kubectl(file: Path, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [str(build("node") / "kubectl"), f"--context={CONTEXT}", "get", "namespaces", "--request-timeout=10s"]
    return subprocess.run(command, env={**variables, "KUBECONFIG": str(file)}, capture_output=True, text=True)


def test_up_and_canary_by_the_clusters_own_proxy(network: Network) -> None:
    """Every variable names one that refuses: the kubeconfig's counts before them."""
    stack = network.going(network.by_cluster, **network.proxies.everywhere(network.proxies.refusing))
    stack.up()
    assert stack.outputs()["canary"]["database"]["verdict"] == "proven"
    assert set(network.proxies.recorded.proxied) == {network.asked}
    assert network.proxies.recorded.refused == []


def test_ops_by_the_environments_proxy_and_authority(network: Network) -> None:
    variables = network.proxies.everywhere(network.proxies.working, SSL_CERT_FILE=str(network.authority), SSL_CERT_DIR="/none")
    stack = network.going(network.by_environment, **variables)
    for arguments in (("drift", "--stack", "dev"), ("volumes", "--stack", "dev")):
        network.proxies.recorded.clear()
        done = stack.ops(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        assert set(network.proxies.recorded.proxied) == {network.asked}
    network.proxies.recorded.clear()
    assert kubectl(network.by_environment, stack.variables).returncode == 0
    assert set(network.proxies.recorded.proxied) == {network.asked}


def test_what_is_said_where_the_proxy_refuses_works(network: Network) -> None:
    refusing, host = network.proxies.refusing, network.outside_host
    stack = network.going(network.outside, HTTPS_PROXY=refusing)
    assert "Forbidden" in kubectl(network.outside, stack.variables).stderr
    problem = f"the proxy {refusing} (HTTPS_PROXY) doesn't lead there: 403 Forbidden"
    remedy = f"Correct HTTPS_PROXY, or where {host} is reached without a proxy, name it: `export NO_PROXY={host}`."
    drift, destroy, preview = stack.ops("drift", "--stack", "dev"), stack.run(*DESTROY), stack.run("preview")
    for done in (drift, destroy, preview):
        said = " ".join((done.stdout + done.stderr).split())
        assert problem in said
        assert remedy in said
        assert "Traceback" not in said
    assert drift.returncode != 0
    assert "The deletion was refused." in destroy.stdout + destroy.stderr
    mended = network.going(network.outside, HTTPS_PROXY=refusing, NO_PROXY=host)
    assert mended.ops("drift", "--stack", "dev").returncode == 0
    assert kubectl(network.outside, mended.variables).returncode == 0


def test_up_and_canary_past_the_proxy(network: Network) -> None:
    """By a network in NO_PROXY. gRPC, by which the program reaches the engine, has other rules."""
    network.proxies.recorded.clear()
    variables = network.proxies.everywhere(network.proxies.refusing, NO_PROXY=f"example.com, {network.outside_host}/24")
    stack = network.going(network.outside, **variables)
    stack.configure(canary={**CANARY, "run": 2})
    stack.up()
    assert kubectl(network.outside, stack.variables).returncode == 0
    assert (network.proxies.recorded.refused, network.proxies.recorded.proxied) == ([], [])


def test_the_loopback_is_reached_without_a_proxy(network: Network) -> None:
    network.proxies.recorded.clear()
    stack = network.going(network.direct, **network.proxies.everywhere(network.proxies.refusing))
    stack.destroy()
    assert kubectl(network.direct, stack.variables).returncode == 0
    assert (network.proxies.recorded.refused, network.proxies.recorded.proxied) == ([], [])
