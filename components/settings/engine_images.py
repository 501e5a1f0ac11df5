"""The images of the engines that accept a tier, and of live moves, as the settings name
them: `canary.engines`.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

from components.settings import values
from components.settings.section import More, Section

DEFAULT_CLIENT = "docker.io/library/python:3.13-slim"
DEFAULT_POSTGRESQL = "docker.io/library/postgres:17"
DEFAULT_KAFKA = "docker.io/apache/kafka:4.4.0"
DEFAULT_MIRROR = "docker.io/apache/kafka:4.3.1"


class EngineImages(Section):
    """The images for `python -m ops accept` and for live moves, which the cluster's nodes can pull
    or have.
    """

    client: Annotated[
        str,
        Field(description="an image with Python 3.10 or newer, for the engine's client", examples=[DEFAULT_CLIENT]),
        AfterValidator(values.image),
        More("Where it has no psycopg or confluent-kafka, pip gets it in the pod. The dev stack names one that `make accept` makes"),
    ] = DEFAULT_CLIENT
    postgresql: Annotated[
        str,
        Field(description="an image with PostgreSQL 14 or newer and its contrib modules", examples=[DEFAULT_POSTGRESQL]),
        AfterValidator(values.image),
        More("With a digest (`postgres:17@sha256:…`) it is always the same one; the verdict has the digest that has run"),
    ] = DEFAULT_POSTGRESQL
    kafka: Annotated[
        str,
        Field(description="an image with Java 17 or newer, and Kafka 4 in /opt/kafka, as Apache's has it", examples=[DEFAULT_KAFKA]),
        AfterValidator(values.image),
        More("With a digest it is always the same one"),
    ] = DEFAULT_KAFKA
    mirror: Annotated[
        str,
        Field(description="an image with Java 17 or newer, and MirrorMaker 2 of Kafka 4 in /opt/kafka", examples=[DEFAULT_MIRROR]),
        AfterValidator(values.image),
        More("It runs in live moves of Kafka, at the target. See [docs/migrate.md](docs/migrate.md#kafka-while-it-runs)"),
    ] = DEFAULT_MIRROR
