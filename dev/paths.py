"""What a command of this clone leaves in `.dev/` for the next one: the local state, the dev
cluster's kubeconfig, the shell's variables."""

from __future__ import annotations

from devkube.paths import DOT_DEV

STATE = DOT_DEV / "state"  # Pulumi's local file backend
KUBECONFIG = DOT_DEV / "kubeconfig"
ENV_FILE = DOT_DEV / "env"
