"""The image of Kafka, with a Maven of a few lines."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from devkube import maven, paths
from devkube.errors import MachineError
from devkube.images import kafka

JAR = b"a jar"


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that puts what is in a file where Maven would put jars."""
    program = tmp_path / "bin/mvn"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n"
        'for each in "$@"; do case $each in -DoutputDirectory=*) to=${each#*=};; esac; done\n'
        f'[ -e {tmp_path}/given ] || {{ echo "[ERROR] Could not resolve kafka_2.13"; exit 1; }}\n'
        f'mkdir -p "$to" && cp {tmp_path}/given "$to/kafka.jar"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setattr(paths, "cache", lambda: tmp_path)
    written = tmp_path / "jars.txt"
    written.write_text(f"{hashlib.sha256(JAR).hexdigest()}  kafka.jar\n")
    monkeypatch.setattr(kafka, "JARS", written)
    return tmp_path / "given"


def test_jars_with_the_digests_that_are_written_down_are_taken(given: Path, tmp_path: Path) -> None:
    given.write_bytes(JAR)
    maven.jars("Kafka", kafka.POM, kafka.JARS, tmp_path / "libs")
    assert (tmp_path / "libs/kafka.jar").read_bytes() == JAR


def test_a_changed_jar_is_refused_by_name(given: Path, tmp_path: Path) -> None:
    given.write_bytes(b"another jar")
    with pytest.raises(MachineError, match=r"other jars for Kafka than those of jars.txt: kafka.jar\.") as caught:
        maven.jars("Kafka", kafka.POM, kafka.JARS, tmp_path / "libs")
    assert "mirror" in caught.value.hint
    assert not (tmp_path / "libs").exists()


def test_what_maven_says_is_passed_on(given: Path, tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"could not be had: \[ERROR\] Could not resolve kafka_2.13"):
        maven.jars("Kafka", kafka.POM, kafka.JARS, tmp_path / "libs")


def test_a_machine_without_maven_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError, match=r"mvn\) is not on PATH") as caught:
        maven.jars("Kafka", kafka.POM, kafka.JARS, tmp_path / "libs")
    assert "`maven`" in caught.value.hint


def test_the_image_finds_java_wherever_its_package_has_it(tmp_path: Path) -> None:
    source, rootfs = tmp_path / "source", tmp_path / "rootfs"
    for name in ("usr/lib/jvm/java-21-openjdk-arm64/bin/java", "opt/kafka/libs/kafka.jar", "usr/share/doc/java/notes", "bin/dash"):
        (source / name).parent.mkdir(parents=True)
        (source / name).write_text("")
    config = kafka.kafka(rootfs, source)
    assert config.environment["PATH"].split(":")[0] == "/usr/lib/jvm/java-21-openjdk-arm64/bin"
    assert (rootfs / "opt/kafka/libs/kafka.jar").exists()
    assert not (rootfs / "usr/share/doc").exists()
    assert (rootfs / "bin/sh").exists()


KAFKA = {"kafka_2.13": "4.4.0", "kafka-tools": "4.4.0", "log4j-slf4j-impl": "2.25.5"}
CONNECT = {"debezium-connector-postgres": "3.6.1.Final", "connect-runtime": "4.3.1", "connect-json": "4.3.1", "log4j-slf4j-impl": "2.25.5"}
MIRROR = {"connect-mirror": "4.3.1", "log4j-slf4j-impl": "2.25.5"}


@pytest.mark.parametrize(("image", "versions"), [("kafka", KAFKA), ("connect", CONNECT), ("mirror", MIRROR)])
def test_every_jar_has_one_digest_and_the_versions_are_those_that_are_asked_for(image: str, versions: dict[str, str]) -> None:
    lines = [line.split() for line in kafka.JARS.with_name(f"{image}-jars.txt").read_text().splitlines()]
    names = [name for _, name in lines]
    assert len(names) == len(set(names)) > 50
    assert all(len(digest) == 64 for digest, _ in lines)
    pom = kafka.POM.with_name(f"{image}-pom.xml").read_text()
    for artifact, version in versions.items():
        assert f"<artifactId>{artifact}</artifactId><version>{version}</version>" in pom
        assert f"{artifact}-{version}.jar" in names
