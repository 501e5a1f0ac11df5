"""What a command of this clone leaves in `.dev/` for the next one: the local state, the dev
cluster's kubeconfig, the shell's variables, and what was asked for."""

from __future__ import annotations

from devkube.paths import DOT_DEV

STATE = DOT_DEV / "state"  # Pulumi's local file backend
KUBECONFIG = DOT_DEV / "kubeconfig"
ENV_FILE = DOT_DEV / "env"
CLUSTER_FILE = DOT_DEV / "cluster.yaml"  # which cluster was asked for
