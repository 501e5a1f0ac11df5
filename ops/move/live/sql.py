"""What PostgreSQL is asked and told, from version 14 on.

Everything goes through template1: databases are closed by `ALLOW_CONNECTIONS false`, which holds
for superusers and over a restart of the source, and template1 stays open for the way back.
"""

from __future__ import annotations

from collections.abc import Sequence

from ops.move.conversation import Broken

OLDEST = 140000  # server_version_num: pg_amcheck came with 14
# What a standby must have at least as much of as its primary (high-availability, hot standby).
_AT_LEAST = ("max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions", "max_locks_per_transaction")
_VALUES = ", ".join(f"'{name}', current_setting('{name}')" for name in (*_AT_LEAST, "shared_preload_libraries"))
FACTS = f"""SELECT json_build_object(
 'version', current_setting('server_version_num')::int,
 'standby', pg_is_in_recovery(),
 'superuser', (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
 'walLevel', current_setting('wal_level'),
 'senders', current_setting('max_wal_senders')::int - (SELECT count(*) FROM pg_stat_replication),
 'slots', (SELECT json_object_agg(slot_name, slot_type) FROM pg_replication_slots),
 'lost', (SELECT coalesce(json_agg(slot_name), '[]') FROM pg_replication_slots WHERE wal_status = 'lost'),
 'freeSlots', current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots),
 'slotKeep', current_setting('max_slot_wal_keep_size'),
 'tablespaces', (SELECT coalesce(json_agg(spcname), '[]') FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')),
 'subscriptions', (SELECT count(*) FROM pg_subscription),
 'bytes', (SELECT sum(pg_database_size(oid)) FROM pg_database),
 'walBytes', (SELECT sum(size) FROM pg_ls_waldir()),
 'port', current_setting('port')::int,
 'listens', current_setting('listen_addresses'),
 'settings', json_build_object({_VALUES}))"""
_OTHERS = "datid IS NOT NULL AND pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker'"
CLOSE = """DO $$ DECLARE name text; BEGIN
 FOR name IN SELECT datname FROM pg_database WHERE datallowconn AND datname = ANY (DATABASES) LOOP
  EXECUTE format('ALTER DATABASE %I ALLOW_CONNECTIONS false', name);
 END LOOP; END $$"""
# A session that was just beginning is seen a moment later: nobody for 0.4 s is nobody.
END_SESSIONS = f"""DO $$ DECLARE nobody int := 0; BEGIN
 FOR turn IN 1..500 LOOP
  PERFORM pg_stat_clear_snapshot();
  PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_OTHERS};
  IF FOUND THEN nobody := 0; ELSE nobody := nobody + 1; END IF;
  EXIT WHEN nobody > 8;
  PERFORM pg_sleep(0.05);
 END LOOP;
 IF nobody <= 8 THEN RAISE EXCEPTION 'sessions of clients do not end'; END IF; END $$"""
# With synchronous_commit off transactions are acknowledged before they are on the disk: a commit
# that is flushed takes all before it along.
FLUSHED = (
    "SET synchronous_commit = local",
    "SELECT pg_logical_emit_message(true, 'storage-tiers', 'moved')",
    "SELECT pg_current_wal_flush_lsn()",
)


END = "end of the answer"


def arguments(statements: Sequence[str]) -> list[str]:
    """psql's, for these: each is a transaction, and their answer has an end."""
    return [part for each in (*statements, f"SELECT '{END}'") for part in ("-c", each)]


def answer(said: str) -> str:
    """What psql has answered. Raises Broken where its end was lost on the way: exec may do that."""
    lines = said.strip().splitlines()
    if not lines or lines[-1] != END:
        raise Broken("the answer to a query was lost on the way", passing=True)
    return "\n".join(lines[:-1])


def literal(text: str) -> str:
    """A string in SQL (standard_conforming_strings is on)."""
    return "'" + text.replace("'", "''") + "'"


def reopen(databases: Sequence[str]) -> str:
    """Those of the databases that are there take connections again."""
    names = f"ARRAY[{', '.join(map(literal, databases))}]::text[]"
    opened = CLOSE.replace("WHERE datallowconn AND", "WHERE NOT datallowconn AND").replace("CONNECTIONS false", "CONNECTIONS true")
    return opened.replace("DATABASES", names)


def drop_slot(slot: str) -> str:
    """End who reads from it, and drop it; nothing where it isn't there."""
    name = literal(slot)
    return f"""DO $$ BEGIN
 FOR turn IN 1..200 LOOP
  PERFORM pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = {name} AND active;
  BEGIN
   PERFORM pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = {name};
   EXIT;
  EXCEPTION WHEN object_in_use THEN PERFORM pg_sleep(0.05);
  END;
 END LOOP;
 IF EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = {name}) THEN RAISE EXCEPTION 'it is in use'; END IF; END $$"""
