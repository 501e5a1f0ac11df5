"""Moves of a PostgreSQL that runs, by its own replication (docs/decisions/0023-live-moves.md)."""
