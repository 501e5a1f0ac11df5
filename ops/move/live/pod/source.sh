# In the source's container, by what the variables of PostgreSQL's official image say:
#   variables        PGDATA, the superuser's name, and the owner's numbers where `stat` is there
#   password         the superuser's password, for a pipe; empty where there is none
#   sql ARGUMENTS    psql
# Nothing of it is an argument of a program, or in a log.
if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
  IFS= read -r POSTGRES_PASSWORD <"$POSTGRES_PASSWORD_FILE" || true
fi
step=$1
shift
case $step in
  variables)
    printf '%s\n' "${PGDATA:-}" "${POSTGRES_USER:-postgres}"
    stat -c '%u:%g' "${PGDATA:-/}" 2>/dev/null || echo
    ;;
  password)
    printf '%s' "${POSTGRES_PASSWORD:-}"
    ;;
  sql)
    [ -z "${POSTGRES_PASSWORD:-}" ] || export PGPASSWORD="$POSTGRES_PASSWORD"
    exec psql -X -A -t -q -w -v ON_ERROR_STOP=1 -h 127.0.0.1 -U "${POSTGRES_USER:-postgres}" -d template1 "$@"
    ;;
esac
