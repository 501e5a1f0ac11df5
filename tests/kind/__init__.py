"""Real Docker and real Kind, made from packages alone: the cluster that most users have.

Nothing of it is installed, and nothing of the machine's own Docker, containerd or firewall is
touched. `python -m tests.kind COMMAND…` runs any command with it, e.g. a shell.
"""
