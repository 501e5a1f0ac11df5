"""A Kind cluster (Kubernetes in Docker), its volumes kept in a folder of the host."""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs
import yaml

from devkube.cluster.access import Access, NodeFolder, write_kubeconfig
from devkube.cluster.kind.checks import lacking
from devkube.errors import MachineError
from devkube.progress import step

# Where Kind's built-in provisioner keeps its volumes in the node (kind:
# images/base/files/kind/manifests/default-storage.yaml).
_VOLUMES_IN_NODE = "/var/local-path-provisioner"
_START_DOCKER = "This clone's volumes are in that cluster. Start Docker, then run the same command again."


class KindCluster:
    """One node in a Docker container, with Kind's own local-path-provisioner: a second one would
    race with it.

    Its volumes are in a folder of the user's, mounted into the node, so that `kind delete cluster`
    takes no data along.
    """

    def __init__(self, identity: str, context: str, kubeconfig: Path) -> None:
        self.identity = identity
        self.context = context
        self.kubeconfig = kubeconfig

    @property
    def home(self) -> Path:
        """This cluster's folder; it is there from the first start until `delete`."""
        return Path(platformdirs.user_data_path("storage-tiers")) / self.identity

    @property
    def volumes(self) -> Path:
        """The folder with the volumes' directories."""
        return self.home / "volumes"

    @property
    def node(self) -> str:
        """The Docker container that is the node: Kind names it so."""
        return f"{self.identity}-control-plane"

    def exists(self) -> bool:
        """Whether this cluster has been made with Kind (and not been deleted since), whether Docker
        runs now or not."""
        return self.home.exists()

    def start(self) -> Access:
        """Create the cluster or start its node, and wait until it is ready.

        Raises MachineError with what kind or docker said.
        """
        missing = lacking()
        if missing:
            raise MachineError(f"the Kind cluster {self.identity} can't be started: {'; '.join(missing)}.", _START_DOCKER)
        self.volumes.mkdir(parents=True, exist_ok=True)
        if self.identity not in self._clusters():
            with step(f"Kind cluster {self.identity}", estimate=60):
                self._create()
        elif not self.running():
            with step(f"Kind cluster {self.identity}: starting", estimate=30):
                _run("docker", "start", self.node)
                self._wait_until_ready()
        self._write_kubeconfig()
        return Access("kind", self.context, self.kubeconfig)

    def stop(self) -> None:
        """Stop the node's container; everything in it stays."""
        if self.exists() and self.running():
            with step(f"Kind cluster {self.identity}: stopping", estimate=10):
                _run("docker", "stop", self.node)

    def delete(self) -> None:
        """Delete the cluster and all its volumes.

        Volumes belong to root in the node, so they are deleted from in there.
        """
        if not self.exists():
            return
        if lacking():
            raise MachineError(f"the Kind cluster {self.identity} can't be deleted: {'; '.join(lacking())}.", _START_DOCKER)
        with step(f"Kind cluster {self.identity}: deleting", estimate=10):
            if self.identity in self._clusters():
                if any(self.volumes.iterdir()):
                    _run("docker", "start", self.node)
                    _run("docker", "exec", self.node, "find", _VOLUMES_IN_NODE, "-mindepth", "1", "-delete")
                _run("kind", "delete", "cluster", "--name", self.identity, "--kubeconfig", str(self.kubeconfig))
            try:
                shutil.rmtree(self.home)
            except PermissionError as problem:
                raise MachineError(f"{problem.filename} belongs to root and can't be deleted.", f"sudo rm -r '{self.home}'") from None
        self.kubeconfig.unlink(missing_ok=True)

    def running(self) -> bool:
        """Whether the node's container runs."""
        with suppress(OSError):
            asked = subprocess.run(
                ["docker", "inspect", "--format", "{{.State.Running}}", self.node], capture_output=True, text=True, check=False
            )
            return asked.returncode == 0 and asked.stdout.strip() == "true"
        return False

    def contents(self) -> list[str]:
        """What `delete` would delete, a line each."""
        if not self.exists():
            return []
        folders = sorted(self.volumes.glob("*"))
        return [
            f"the Kind cluster {self.identity} with all its objects",
            *(f"volume {folder.name}: {folder}" for folder in folders),
        ]

    def folder(self) -> NodeFolder:
        """The folder of this machine, and where the node has it."""
        return NodeFolder(self.volumes, _VOLUMES_IN_NODE)

    def load_image(self, archive: Path) -> None:
        """Load an OCI archive into the node."""
        _run("kind", "load", "image-archive", str(archive), "--name", self.identity)

    def pull_image(self, official: str, name: str) -> None:
        """Have Docker pull the image `official`, and make it known to the node as `name`.

        Raises MachineError with what Docker said.
        """
        with step(f"Image {official}: pulling", estimate=30):
            _run("docker", "pull", official)
            _run("docker", "tag", official, name)
            _run("kind", "load", "docker-image", name, "--name", self.identity)

    def _clusters(self) -> list[str]:
        return _run("kind", "get", "clusters").split()

    def _create(self) -> None:
        config: dict[str, Any] = {
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "networking": {"apiServerAddress": "127.0.0.1"},
            "nodes": [
                {"role": "control-plane", "extraMounts": [{"hostPath": str(self.volumes), "containerPath": _VOLUMES_IN_NODE}]},
            ],
        }
        self.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        try:
            _run(
                *("kind", "create", "cluster", "--name", self.identity, "--kubeconfig", str(self.kubeconfig)),
                *("--config", "-", "--wait", "180s"),
                stdin=yaml.safe_dump(config),
            )
        except (MachineError, KeyboardInterrupt):
            # Half a cluster would be taken for a whole one the next time. There is no data in it
            # yet.
            delete = ["kind", "delete", "cluster", "--name", self.identity, "--kubeconfig", str(self.kubeconfig)]
            subprocess.run(delete, capture_output=True, check=False)
            # The folder is what says that this clone uses Kind; an earlier cluster's volumes keep
            # it.
            with suppress(OSError):
                self.volumes.rmdir()
                self.home.rmdir()
            raise
        self._wait_until_ready()

    def _wait_until_ready(self, seconds: float = 180) -> None:
        """Wait for the node, asked from inside of its own container: no kubectl is needed on the
        host."""
        deadline = time.monotonic() + seconds
        ask = ["docker", "exec", self.node, "kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "wait", "--for=condition=Ready"]
        while True:
            asked = subprocess.run([*ask, f"node/{self.node}", "--timeout=10s"], capture_output=True, text=True, check=False)
            if asked.returncode == 0:
                return
            if time.monotonic() > deadline:
                raise MachineError(
                    f"the Kind cluster {self.identity} is not ready after {seconds:.0f} s: {asked.stderr.strip()[-300:]}",
                    f"`docker logs {self.node}` says more.",
                )
            time.sleep(1)

    def _write_kubeconfig(self) -> None:
        """Kind's kubeconfig of the cluster, its context renamed to the one that the stack names.

        Readable by its owner alone.
        """
        content = yaml.safe_load(_run("kind", "get", "kubeconfig", "--name", self.identity))
        content["contexts"][0]["name"] = content["current-context"] = self.context
        write_kubeconfig(self.kubeconfig, content)


def _run(*command: str, stdin: str = "") -> str:
    """Run a program to its end; its output.

    Raises MachineError with its last words when it fails.
    """
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = "\n".join(f"  {line}" for line in done.stderr.strip().splitlines()[-8:])
        raise MachineError(f"`{' '.join(command)}` failed:\n{said}")
    return done.stdout
