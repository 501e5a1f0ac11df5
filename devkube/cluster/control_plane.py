"""The control plane of an embedded cluster: etcd, API server, controller manager and scheduler as
host processes.

Certificates and kubeconfigs are made by kubeadm (`kubeadm init phase …`); the flags are those that
kubeadm gives its static pods, less what a single node on loopback has no use for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from devkube.cluster.api_server import ask
from devkube.cluster.daemons import Daemon
from devkube.cluster.layout import NODE_LOST_AFTER, NODE_NAME, SERVICE_SUBNET, Layout
from devkube.errors import MachineError

# Ten years: a dev cluster that is found again after a year must still start.
_VALIDITY = "87600h0m0s"


class ControlPlane:
    """The four processes and their certificates.

    `binaries` is the folder with kubeadm, kubectl, etcd, kube-apiserver, ….
    """

    def __init__(self, layout: Layout, binaries: Path) -> None:
        self.layout = layout
        self.binaries = binaries
        self.etcd = self._daemon("etcd", self._etcd())
        self.api = self._daemon("kube-apiserver", self._api())
        self.controller_manager = self._daemon("kube-controller-manager", self._controller_manager())
        self.scheduler = self._daemon("kube-scheduler", self._scheduler())

    @property
    def daemons(self) -> list[Daemon]:
        """In the order in which they start; they stop in the opposite one."""
        return [self.etcd, self.api, self.controller_manager, self.scheduler]

    def make_certificates(self) -> None:
        """Make every key, certificate and kubeconfig that is missing.

        Raises MachineError with kubeadm's own words.
        """
        layout = self.layout
        users = ["admin", "super-admin", "kubelet", "controller-manager", "scheduler"]
        done = layout.home / "certificates-made"
        if done.exists():
            return
        layout.home.mkdir(mode=0o700, exist_ok=True)
        config = layout.home / "kubeadm.yaml"
        config.write_text(yaml.safe_dump_all(self._kubeadm_config()))
        folder = layout.kubeconfig("admin").parent
        # Nothing has used them yet, and kubeadm stops at half a file.
        for unfinished in (layout.pki, folder):
            shutil.rmtree(unfinished, ignore_errors=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        self.kubeadm("init", "phase", "certs", "all", f"--config={config}")
        self.kubeadm("init", "phase", "kubeconfig", "all", f"--config={config}", f"--kubeconfig-dir={folder}")
        for user in users:
            self._point_to_loopback(layout.kubeconfig(user))
        done.touch()

    def make_super_admin(self) -> None:
        """Make the certificate that is above RBAC again where etcd's data is gone: nothing in a new
        etcd gives anybody a right.

        All else (the cluster's CA, the volumes) is as it was, and the next start goes on with it.
        """
        target = self.layout.kubeconfig("super-admin")
        if target.exists() or (self.layout.home / "etcd/member").exists():
            return
        config = self.layout.home / "kubeadm.yaml"
        self.kubeadm("init", "phase", "kubeconfig", "super-admin", f"--config={config}", f"--kubeconfig-dir={target.parent}")
        self._point_to_loopback(target)

    def make_kubelet_user(self, layout: Layout) -> None:
        """The kubeconfig of a node's kubelet, made once; kubeadm makes the first node's."""
        if layout.number > 1:
            self.make_user(layout.kubelet_user, f"system:node:{layout.node_name}", "system:nodes")

    def make_user(self, name: str, client: str = "", organization: str = "") -> Path:
        """A kubeconfig with a client certificate of its own for `name`, made once.

        It may do what RBAC gives that name; or `client`, where the certificate's name is another
        one, in the group `organization`.
        """
        target = self.layout.kubeconfig(name)
        if not target.exists():
            config = self.layout.home / "kubeadm.yaml"
            whose = [f"--client-name={client or name}", *([f"--org={organization}"] if organization else [])]
            made = self.kubeadm("kubeconfig", "user", *whose, f"--config={config}", f"--validity-period={_VALIDITY}")
            temporary = target.with_suffix(".new")
            temporary.touch(mode=0o600)
            temporary.write_text(made)
            self._point_to_loopback(temporary)
            temporary.replace(target)
        return target

    def kubeadm(self, *arguments: str) -> str:
        """Run kubeadm; returns what it printed."""
        return _run([self.binaries / "kubeadm", *arguments])

    def kubectl(self, *arguments: str, user: str = "admin", stdin: str | None = None) -> str:
        """Run kubectl as one of the cluster's own users; returns what it printed.

        Raises MachineError with kubectl's words.
        """
        return _run([self.binaries / "kubectl", f"--kubeconfig={self.layout.kubeconfig(user)}", *arguments], stdin=stdin)

    def apply(self, objects: Sequence[dict[str, object]], user: str = "admin") -> None:
        """Make these objects, or change them to this.

        Raises MachineError with kubectl's words.
        """
        # They are ours: to check them kubectl would have the API server describe every kind there
        # is, seconds of work for a new one.
        trusted = ("--validate=false", "--openapi-patch=false")
        self.kubectl("apply", *trusted, "-f", "-", user=user, stdin=yaml.safe_dump_all(objects))

    def ready(self) -> bool:
        """Whether the API server says that it is ready."""
        try:
            return ask(self.layout, "/readyz") == b"ok"
        except MachineError:
            return False

    def allow_admin(self) -> None:
        """Bind kubeadm's group of administrators to cluster-admin, as `kubeadm init` does, with the
        certificate that is above RBAC.

        That certificate is then deleted: the kubeconfig in people's hands can be taken back by
        deleting one binding.
        """
        if not self.layout.kubeconfig("super-admin").exists():
            return
        binding: dict[str, object] = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "kubeadm:cluster-admins"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "kubeadm:cluster-admins"}],
        }
        self.apply([binding], user="super-admin")
        self.layout.kubeconfig("super-admin").unlink()

    def _daemon(self, name: str, arguments: list[str]) -> Daemon:
        return Daemon(name, [self.binaries / name, *arguments], self.layout.logs, self.layout.run / "pids")

    def _point_to_loopback(self, kubeconfig: Path) -> None:
        """kubeadm writes the node's address into some of them.

        The API server listens on 127.0.0.1 alone.
        """
        content = yaml.safe_load(kubeconfig.read_text())
        for cluster in content["clusters"]:
            cluster["cluster"]["server"] = f"https://127.0.0.1:{self.layout.ports.api}"
        kubeconfig.write_text(yaml.safe_dump(content))

    def _kubeadm_config(self) -> list[dict[str, Any]]:
        layout = self.layout
        return [
            {
                "apiVersion": "kubeadm.k8s.io/v1beta4",
                "kind": "InitConfiguration",
                "localAPIEndpoint": {"advertiseAddress": layout.address, "bindPort": layout.ports.api},
                "nodeRegistration": {"name": NODE_NAME, "criSocket": f"unix://{layout.containerd_socket}", "taints": []},
            },
            {
                "apiVersion": "kubeadm.k8s.io/v1beta4",
                "kind": "ClusterConfiguration",
                # A version by number: kubeadm asks no server.
                "kubernetesVersion": self.kubeadm("version", "-o", "short").strip(),
                "clusterName": layout.identity,
                "certificatesDir": str(layout.pki),
                "controlPlaneEndpoint": f"127.0.0.1:{layout.ports.api}",
                "apiServer": {"certSANs": ["127.0.0.1", "localhost"]},
                "networking": {"serviceSubnet": SERVICE_SUBNET},
                "certificateValidityPeriod": _VALIDITY,
                "caCertificateValidityPeriod": _VALIDITY,
                "encryptionAlgorithm": "ECDSA-P256",
            },
        ]

    def _etcd(self) -> list[str]:
        layout = self.layout
        certificates = layout.pki / "etcd"
        client = f"https://127.0.0.1:{layout.ports.etcd}"
        peer = f"https://127.0.0.1:{layout.ports.etcd_peer}"
        return [
            f"--name={NODE_NAME}",
            f"--data-dir={layout.home / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster={NODE_NAME}={peer}",
            "--client-cert-auth=true",
            f"--cert-file={certificates / 'server.crt'}",
            f"--key-file={certificates / 'server.key'}",
            f"--trusted-ca-file={certificates / 'ca.crt'}",
            "--peer-client-cert-auth=true",
            f"--peer-cert-file={certificates / 'peer.crt'}",
            f"--peer-key-file={certificates / 'peer.key'}",
            f"--peer-trusted-ca-file={certificates / 'ca.crt'}",
            "--auto-compaction-retention=1h",  # a dev cluster runs for weeks
            "--log-level=warn",
        ]

    def _api(self) -> list[str]:
        layout, pki = self.layout, self.layout.pki
        return [
            "--bind-address=127.0.0.1",
            f"--secure-port={layout.ports.api}",
            f"--advertise-address={layout.address}",
            # No Service network, so nothing could use the endpoint.
            "--endpoint-reconciler-type=none",
            "--anonymous-auth=false",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--client-ca-file={pki / 'ca.crt'}",
            f"--tls-cert-file={pki / 'apiserver.crt'}",
            f"--tls-private-key-file={pki / 'apiserver.key'}",
            f"--etcd-servers=https://127.0.0.1:{layout.ports.etcd}",
            f"--etcd-cafile={pki / 'etcd/ca.crt'}",
            f"--etcd-certfile={pki / 'apiserver-etcd-client.crt'}",
            f"--etcd-keyfile={pki / 'apiserver-etcd-client.key'}",
            f"--kubelet-client-certificate={pki / 'apiserver-kubelet-client.crt'}",
            f"--kubelet-client-key={pki / 'apiserver-kubelet-client.key'}",
            f"--kubelet-certificate-authority={pki / 'ca.crt'}",
            "--kubelet-preferred-address-types=InternalIP",  # nothing resolves the node's name
            f"--service-cluster-ip-range={SERVICE_SUBNET}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={pki / 'sa.pub'}",
            f"--service-account-signing-key-file={pki / 'sa.key'}",
            f"--requestheader-client-ca-file={pki / 'front-proxy-ca.crt'}",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={pki / 'front-proxy-client.crt'}",
            f"--proxy-client-key-file={pki / 'front-proxy-client.key'}",
            "--profiling=false",
            "--shutdown-delay-duration=0s",
        ]

    def _controller_manager(self) -> list[str]:
        layout, pki = self.layout, self.layout.pki
        kubeconfig = layout.kubeconfig("controller-manager")
        return [
            "--bind-address=127.0.0.1",
            f"--secure-port={layout.ports.controller_manager}",
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            f"--client-ca-file={pki / 'ca.crt'}",
            f"--requestheader-client-ca-file={pki / 'front-proxy-ca.crt'}",
            f"--cluster-signing-cert-file={pki / 'ca.crt'}",
            f"--cluster-signing-key-file={pki / 'ca.key'}",
            f"--cluster-signing-duration={_VALIDITY}",
            f"--root-ca-file={pki / 'ca.crt'}",
            f"--service-account-private-key-file={pki / 'sa.key'}",
            "--use-service-account-credentials=true",
            # There is one: after a kill it need not wait for its own old lease.
            "--leader-elect=false",
            "--profiling=false",
            *([f"--node-monitor-grace-period={NODE_LOST_AFTER}s"] if layout.nodes > 1 else []),
        ]

    def _scheduler(self) -> list[str]:
        kubeconfig = self.layout.kubeconfig("scheduler")
        return [
            "--bind-address=127.0.0.1",
            f"--secure-port={self.layout.ports.scheduler}",
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            "--leader-elect=false",
            "--profiling=false",
        ]


def _run(arguments: list[str | Path], *, stdin: str | None = None) -> str:
    """Run a program to its end without any of the user's own kubeconfig or proxy; its output.

    Raises MachineError when it fails.
    """
    environment = {name: value for name, value in os.environ.items() if name.lower() not in _NOT_PASSED_ON}
    command = [str(argument) for argument in arguments]
    done = subprocess.run(command, input=stdin or "", capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        name = Path(arguments[0]).name
        words = [str(argument) for argument in arguments[1:] if not str(argument).startswith("--kubeconfig")]
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-5:]
        raise MachineError(f"`{name} {' '.join(words)}` failed:\n" + "\n".join(f"  {line}" for line in said))
    return done.stdout


_NOT_PASSED_ON = {"kubeconfig", "http_proxy", "https_proxy", "all_proxy"}
