"""A Kind cluster (Kubernetes in Docker), its volumes kept in a folder of the host."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import platformdirs

from devkube.cluster.access import Access, NodeFolder, write_kubeconfig
from devkube.cluster.kind.causes import NodeImageMissing
from devkube.cluster.kind.checks import docker_elsewhere, docker_endpoint, docker_is_snap, lacking, unfit
from devkube.cluster.kind.commands import answer, run
from devkube.cluster.kind.config import VOLUMES_IN_NODE, read_config
from devkube.cluster.kind.creation import NewKindCluster, create, delete_nodes, half_made, with_logs
from devkube.cluster.kind.folder import not_seen, seen_by
from devkube.cluster.kind.images import image_names, load_archive, load_pulled
from devkube.cluster.kind.kubeconfig import check_reachable, kind_kubeconfig
from devkube.cluster.kind.nodes import KindNode, kubernetes_nodes, nodes_of, start_nodes, stop_nodes, wait_until_ready
from devkube.cluster.kind.provisioners import BUILT_IN
from devkube.cluster.kind.record import recorded
from devkube.errors import MachineError
from devkube.progress import say, step

__all__ = ["KindCluster", "NodeImageMissing", "lacking", "unfit"]

_START_DOCKER = "This clone's volumes are in that cluster. Start Docker, then run the same command again."


class KindCluster:
    """Nodes in Docker containers, with Kind's own local-path-provisioner: a second one would race
    with it.

    Its volumes are in a folder of the user's, mounted into the nodes, so that `kind delete cluster`
    takes no data along.
    """

    def __init__(
        self,
        identity: str,
        context: str,
        kubeconfig: Path,
        *,
        image: str = "",
        config: str = "",
        provisioners: Sequence[str] = (BUILT_IN,),
    ) -> None:
        """`image`: the node image, Kind's own where it is empty. `config`: the path of the user's
        kind config. `provisioners`: the names that a provisioner answers to, Kind's own always
        among them.
        """
        self.identity = identity
        self.context = context
        self.kubeconfig = kubeconfig
        self.image = image
        self.config = config
        self.provisioners = tuple(provisioners)

    @property
    def home(self) -> Path:
        """This cluster's folder; it is there from the first start until `delete`."""
        usual = Path(platformdirs.user_data_path("storage-tiers")) / self.identity
        return self._plain_home if self._plain_home.exists() and not usual.exists() else usual

    @property
    def _plain_home(self) -> Path:
        """The same without a hidden folder in its path, for a Docker that sees none (the snap)."""
        return Path.home() / "storage-tiers" / self.identity

    @property
    def volumes(self) -> Path:
        """The folder with the volumes' directories."""
        return self.home / "volumes"

    @property
    def node(self) -> str:
        """The Docker container of the (first) control plane: Kind names it so."""
        return f"{self.identity}-control-plane"

    @property
    def logs(self) -> Path:
        """Where a failed node's logs are kept."""
        return self.kubeconfig.parent / "kind-logs"

    def exists(self) -> bool:
        """Whether this cluster has been made with Kind (and not been deleted since), whether Docker
        runs now or not.

        A creation that never came to its end doesn't count, unless there are volumes.
        """
        kept = recorded(self.home)
        return self.home.exists() and (kept is None or kept.whole or bool(self._folders()))

    def start(self) -> Access:
        """Create the cluster or start its nodes, and wait until it is ready.

        Raises MachineError with what kind or docker said, and with the end of the nodes' logs.
        """
        missing = lacking()
        if missing:
            start_docker = _START_DOCKER if self.exists() else "`make up CLUSTER=auto` takes another way to a cluster, where there is one."
            raise MachineError(f"the Kind cluster {self.identity} can't be started: {'; '.join(missing)}.", start_docker)
        nodes = nodes_of(self.identity)
        if nodes and half_made(self.identity, self.home, nodes):
            say(f"Kind cluster {self.identity}: its creation was interrupted; it is made anew. Volumes stay.")
            delete_nodes(self.identity, self.kubeconfig)
            nodes = []
        if nodes:
            self._start(nodes)
        else:
            self._check_engine()
            create(self._new())
        content = kind_kubeconfig(self.identity)
        check_reachable(content)
        # Its context is the one that the stack names.
        content["contexts"][0]["name"] = content["current-context"] = self.context
        write_kubeconfig(self.kubeconfig, content)
        return Access("kind", self.context, self.kubeconfig)

    def stop(self) -> None:
        """Stop the nodes' containers for good; everything in them stays.

        Raises MachineError where Docker is now another engine than theirs, so that they run on.
        """
        nodes: Sequence[KindNode] = []
        if self.home.exists():
            with suppress(MachineError):  # without Docker nothing runs
                nodes = nodes_of(self.identity)
        if not nodes:
            self._check_engine()
        if any(node.runs for node in nodes):
            with step(f"Kind cluster {self.identity}: stopping", estimate=15):
                stop_nodes(nodes)

    def delete(self) -> None:
        """Delete the cluster and all its volumes.

        Volumes belong to root in the node, so they are deleted from in a container.
        """
        if not self.home.exists():
            return
        if lacking():
            raise MachineError(f"the Kind cluster {self.identity} can't be deleted: {'; '.join(lacking())}.", _START_DOCKER)
        nodes = nodes_of(self.identity)
        if not nodes:
            self._check_engine()
        with step(f"Kind cluster {self.identity}: deleting", estimate=10):
            self._delete_volumes(nodes)
            delete_nodes(self.identity, self.kubeconfig)
            try:
                shutil.rmtree(self.home)
            except PermissionError as problem:
                raise MachineError(f"{problem.filename} belongs to root and can't be deleted.", f"sudo rm -r '{self.home}'") from None
        self.kubeconfig.unlink(missing_ok=True)

    def running(self) -> bool:
        """Whether all the nodes' containers run."""
        with suppress(MachineError):
            nodes = nodes_of(self.identity)
            return bool(nodes) and all(node.runs for node in nodes)
        return False

    def contents(self) -> list[str]:
        """What `delete` would delete, a line each."""
        if not self.home.exists():
            return []
        return [
            f"the Kind cluster {self.identity} with all its objects",
            *(f"volume {folder.name}: {folder}" for folder in self._folders()),
        ]

    def folder(self) -> NodeFolder:
        """The folder of this machine, and where the node has it."""
        return NodeFolder(self.volumes, VOLUMES_IN_NODE, self.used)

    def used(self, path: str) -> int | None:
        """Bytes of disk that a directory of the node takes, asked of the node: its user may look
        everywhere.

        None where it can't be told.
        """
        said = answer("docker", "exec", self.node, "du", "--summarize", "--block-size=1", "--", path, seconds=60) or ""
        number = said.partition("\t")[0]
        return int(number) if number.isdigit() else None

    def load_image(self, archive: Path) -> None:
        """Import an OCI archive into the nodes that don't have it."""
        load_archive(self._kubernetes_nodes(), archive)

    def pull_image(self, official: str, name: str) -> None:
        """Have Docker pull the image `official`, and make it known to the nodes as `name`.

        Raises MachineError with what Docker said.
        """
        with step(f"Image {official}: pulling", estimate=30):
            load_pulled(self._kubernetes_nodes(), official, name)

    def has_pulled(self, name: str) -> bool:
        """Whether all nodes have the image `name` from `pull_image`, and not from an archive.

        An archive of this project's has a second name for the image, made from its content.
        """
        repository = name.rpartition(":")[0]
        return all({each for each in image_names(node) if each.startswith(f"{repository}:")} == {name} for node in self._kubernetes_nodes())

    def kubectl(self) -> list[str]:
        """The command line of the node's own kubectl, with its administrator's kubeconfig."""
        return ["docker", "exec", "--interactive", self.node, "kubectl", "--kubeconfig=/etc/kubernetes/admin.conf"]

    def _kubernetes_nodes(self) -> list[KindNode]:
        return kubernetes_nodes(nodes_of(self.identity))

    def _folders(self) -> list[Path]:
        """The volumes' directories; none where the folder was deleted."""
        try:
            return sorted(folder for folder in self.volumes.iterdir() if not folder.name.startswith("."))
        except FileNotFoundError:
            return []

    def _new(self) -> NewKindCluster:
        home = self.home
        if not home.exists() and docker_is_snap() and any(part.startswith(".") for part in home.parts):
            home = self._plain_home
        text = read_config(self.config)
        return NewKindCluster(self.identity, home, self.kubeconfig, self.logs, self.image, self.config, text, self.provisioners)

    def _start(self, nodes: Sequence[KindNode]) -> None:
        """Start the nodes that don't run, wait until they are ready, and see to the volumes'
        folder."""
        self._say_if_other()
        missing = not self.volumes.exists()
        self.volumes.mkdir(parents=True, exist_ok=True)
        try:
            if all(node.runs for node in nodes) and not missing:
                wait_until_ready(self.identity, nodes)
                return
            with step(f"Kind cluster {self.identity}: starting", estimate=30):
                if missing:  # a node that runs still has the old one, which nobody else can see
                    stop_nodes(nodes)
                start_nodes(nodes)
                wait_until_ready(self.identity, nodes)
                if not seen_by(nodes[0], self.volumes):
                    raise not_seen(self.volumes)
        except MachineError as problem:
            told = with_logs(problem, self.identity, self.logs)
            told.hint = told.hint or (
                f"`kind delete cluster --name {self.identity}` deletes the nodes and keeps the volumes, which `make up ADOPT=1` then "
                "gives back."
            )
            raise told from None

    def _check_engine(self) -> None:
        """Raises MachineError where the nodes are another engine's than the one Docker has now.

        On an engine elsewhere a second cluster would be made, and the first would run on.
        """
        kept = recorded(self.home)
        if kept is None or not kept.whole or kept.endpoint in ("", docker_endpoint()):
            return
        if elsewhere := docker_elsewhere():
            raise MachineError(
                f"the Kind cluster {self.identity} was made by the Docker engine at {kept.endpoint}, and now {elsewhere}.",
                "`unset DOCKER_HOST`, or `docker context use default`: then run the same command again.",
            )

    def config_text(self) -> str:
        """The kind config of this cluster's nodes: the one that is named for a new cluster, or,
        where that can't be read any more, the one that this cluster was made with.

        Raises MachineError where there is neither.
        """
        try:
            return read_config(self.config)
        except MachineError:
            kept = recorded(self.home)
            if kept is None or not kept.whole:
                raise
            return kept.config

    def _say_if_other(self) -> None:
        """Say that an image or config that was named since this cluster was made waits for a new
        one."""
        kept, text = recorded(self.home), self.config_text()
        if kept and kept.whole and (kept.image, kept.config) != (self.image, text):
            say(
                f"Kind cluster {self.identity} was made with {kept.image or 'the default image'}"
                f"{' and another kind config' if kept.config != text else ''}: what is named now is for a new one "
                f"(`kind delete cluster --name {self.identity}`, then `make up ADOPT=1`; the volumes stay)."
            )

    def _delete_volumes(self, nodes: Sequence[KindNode]) -> None:
        """Empty the volumes' folder as root, in the node or in a container of the node's image.

        A node that doesn't run need not be started for it: its port may be taken.
        """
        if not self._folders():
            return
        find = ["find", VOLUMES_IN_NODE, "-mindepth", "1", "-delete"]
        if nodes and nodes[0].runs:
            run("docker", "exec", nodes[0].name, *find)
        elif nodes:
            image = run("docker", "inspect", "--format", "{{.Image}}", nodes[0].name).strip()
            mount = f"{self.volumes}:{VOLUMES_IN_NODE}"
            run("docker", "run", "--rm", "--network=none", "--volume", mount, "--entrypoint", find[0], image, *find[1:])
