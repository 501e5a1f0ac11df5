"""Moves of a Kafka that runs, by MirrorMaker 2 (docs/decisions/0024-kafka-live-moves.md)."""
