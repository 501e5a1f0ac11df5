"""Which engines there are."""

from __future__ import annotations

from components.acceptance.acceptance import Acceptance
from components.acceptance.on_kafka import KafkaAcceptance
from components.acceptance.on_postgresql import PostgresqlAcceptance

ACCEPTANCES: dict[str, type[Acceptance]] = {"postgresql": PostgresqlAcceptance, "kafka": KafkaAcceptance}
