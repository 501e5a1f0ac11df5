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
# What it needs as well. Without track_commit_timestamp a promotion removes all that were kept.
_AS_THERE = ("shared_preload_libraries", "track_commit_timestamp")
_VALUES = ", ".join(f"'{name}', current_setting('{name}')" for name in (*_AT_LEAST, *_AS_THERE))
# Of a session of ours, whatever ALTER SYSTEM, DATABASE and ROLE say. The server ends a statement
# before this machine gives it up: one that still waited could close the source much later. None
# waits for a synchronous standby.
OPTIONS = " ".join(
    f"-c {each}"
    for each in (
        "statement_timeout=50s",
        "lock_timeout=10s",
        "default_transaction_read_only=off",
        "synchronous_commit=local",
        "standard_conforming_strings=on",
        "search_path=pg_catalog",
    )
)
ENCODING = "UTF8"  # of what is said and heard: that of names in other databases is theirs
# An unlogged table's files have a fork of this name, and nothing else tells of it in all databases.
_UNLOGGED = "EXISTS (SELECT FROM pg_ls_dir('base/' || oid, true, false) AS file WHERE file LIKE '%\\_init')"
# Asked first: what is below takes both.
WHO = "SELECT current_setting('server_version_num')::int, rolsuper FROM pg_roles WHERE rolname = current_user"
FACTS = f"""SELECT json_build_object(
 'version', current_setting('server_version_num')::int,
 'standby', pg_is_in_recovery(),
 'walLevel', current_setting('wal_level'),
 'senders', current_setting('max_wal_senders')::int - (SELECT count(*) FROM pg_stat_replication),
 'slots', (SELECT json_object_agg(slot_name, slot_type) FROM pg_replication_slots),
 'lost', (SELECT coalesce(json_agg(slot_name), '[]') FROM pg_replication_slots WHERE wal_status = 'lost'),
 'freeSlots', current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots),
 'slotKeep', current_setting('max_slot_wal_keep_size'),
 'tablespaces', (SELECT coalesce(json_agg(spcname), '[]') FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')),
 'subscriptions', (SELECT count(*) FROM pg_subscription),
 'unlogged', (SELECT coalesce(json_agg(datname), '[]') FROM pg_database WHERE {_UNLOGGED}),
 'prepared', (SELECT count(*) FROM pg_prepared_xacts),
 'archives', current_setting('archive_mode') <> 'off',
 'dataDirectory', current_setting('data_directory'),
 'built', version(),
 'bytes', (SELECT sum(pg_database_size(oid)) FROM pg_database),
 'walBytes', (SELECT sum(size) FROM pg_ls_waldir()),
 'listens', current_setting('listen_addresses'),
 'settings', json_build_object({_VALUES}))"""
OPEN = "SELECT coalesce(json_agg(datname), '[]') FROM pg_database WHERE datallowconn AND datname <> 'template1'"
_OTHERS = "datid IS NOT NULL AND pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker'"
CLOSE = """DO $$ DECLARE name text; BEGIN
 FOR name IN SELECT datname FROM pg_database WHERE datallowconn AND datname = ANY (DATABASES) LOOP
  EXECUTE format('ALTER DATABASE %I ALLOW_CONNECTIONS false', name);
 END LOOP; END $$"""
# A session that is beginning has a lock on its database from before it looks whether that is open
# until it is among the others (InitPostgres). So who has one is looked for first.
END_SESSIONS = f"""DO $$ DECLARE nobody int := 0; beginning boolean; BEGIN
 FOR turn IN 1..500 LOOP
  PERFORM FROM pg_locks WHERE locktype = 'object' AND classid = 'pg_database'::regclass AND pid <> pg_backend_pid();
  beginning := FOUND;
  PERFORM pg_stat_clear_snapshot();
  PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_OTHERS};
  IF FOUND OR beginning THEN nobody := 0; ELSE nobody := nobody + 1; END IF;
  EXIT WHEN nobody > 8;
  PERFORM pg_sleep(0.05);
 END LOOP;
 IF nobody <= 8 THEN RAISE EXCEPTION 'sessions of clients do not end'; END IF; END $$"""
# With synchronous_commit off transactions are acknowledged before they are on the disk: a commit
# that is flushed takes all before it along.
FLUSHED = (
    "SELECT pg_logical_emit_message(true, 'storage-tiers', 'moved')",
    "SELECT pg_current_wal_flush_lsn()",
)


END = "end of the answer"


def script(statements: Sequence[str]) -> bytes:
    """What psql gets on stdin: each statement is a transaction, and their answer has an end.

    As arguments they would be in a request's address, which holds the names of some hundred
    databases at most.
    """
    return "".join([*(f"{each};\n" for each in statements), f"\\echo {END}\n\\q\n"]).encode()


def conninfo(**values: str) -> str:
    """A connection string of libpq's, whatever the values are."""
    quoted = {name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in values.items()}
    return " ".join(f"{name}='{value}'" for name, value in quoted.items())


def answer(said: str) -> str:
    """What psql has answered. Raises Broken where its end was lost on the way: exec may do that."""
    lines = said.strip().splitlines()
    if not lines or lines[-1] != END:
        raise Broken("the answer to a query was lost on the way", passing=True)
    return "\n".join(lines[:-1])


def literal(text: str) -> str:
    """A string in SQL (standard_conforming_strings is on)."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name in SQL."""
    return '"' + name.replace('"', '""') + '"'


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
