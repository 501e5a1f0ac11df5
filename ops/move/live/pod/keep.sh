# What keeps the engine's container of the target's pod there, with a shell alone. PostgreSQL runs
# beside it, and is stopped cleanly when the pod is ended.
trap 'pg_ctl stop -D "$PGDATA" -m fast -w -t 60 || true; exit 0' TERM INT
exec 3<>/run/move/control
while :; do
  read -r line <&3 || true
done
