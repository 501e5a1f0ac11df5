"""What is remembered of a Kind cluster on this machine: whether its creation came to its end."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

_FILE = "cluster.json"


@dataclass(frozen=True)
class KindRecord:
    """Written before a cluster is made, and again when it is whole.

    A run that was killed between the two (a closed terminal, say) leaves the first.
    """

    whole: bool
    node: str = ""  # the id of the control plane's container: another one is another cluster
    image: str = ""  # the node image that was asked for; empty for Kind's own
    config: str = ""  # the text of the user's kind config
    endpoint: str = ""  # where the Docker engine that made it is, as unix:///var/run/docker.sock; empty where not known

    def write(self, home: Path) -> None:
        """Keep it in the cluster's folder, whole or not at all."""
        temporary = home / f".{_FILE}.new"
        temporary.write_text(json.dumps(asdict(self), indent=2) + "\n")
        temporary.replace(home / _FILE)


def recorded(home: Path) -> KindRecord | None:
    """What is remembered of the cluster in this folder.

    None where nothing is: it was made by hand, or before such records were written.
    """
    try:
        return KindRecord(**json.loads((home / _FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def forget(home: Path) -> None:
    """Remove the record; the folder stays."""
    (home / _FILE).unlink(missing_ok=True)
