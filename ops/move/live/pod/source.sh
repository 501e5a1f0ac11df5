# In the source's container, by what the variables of PostgreSQL's official image say:
#   variables        PGDATA, the superuser's name, the owner's numbers where `stat` is there, the port
#   password         the superuser's password, for a pipe; empty where there is none
#   sql OPTIONS      psql, which gets its statements on stdin; OPTIONS are the session's
#   replication      whether a standby may connect
# Nothing of it is an argument of a program, or in a log. The port is that of the server's own
# postmaster.pid (its fourth line).
if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
  IFS= read -r POSTGRES_PASSWORD <"$POSTGRES_PASSWORD_FILE" || true
fi
port=
{ read -r _ && read -r _ && read -r _ && read -r port; } 2>/dev/null <"${PGDATA:-}/postmaster.pid" || true
connect() {
  [ -z "${POSTGRES_PASSWORD:-}" ] || export PGPASSWORD="$POSTGRES_PASSWORD"
  exec psql -X -A -t -q -w -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "${port:-5432}" -U "${POSTGRES_USER:-postgres}" "$@"
}
step=$1
shift
case $step in
  variables)
    printf '%s\n' "${PGDATA:-}" "${POSTGRES_USER:-postgres}"
    stat -c '%u:%g' "${PGDATA:-/}" 2>/dev/null || echo
    printf '%s\n' "$port"
    ;;
  password)
    printf '%s\n' "${POSTGRES_PASSWORD:-}"
    ;;
  sql)
    export PGOPTIONS="$1" PGCLIENTENCODING=UTF8
    connect -d template1
    ;;
  replication)
    connect -d 'dbname=template1 replication=true' -c IDENTIFY_SYSTEM
    ;;
esac
