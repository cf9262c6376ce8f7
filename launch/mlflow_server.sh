#!/usr/bin/env bash
# A tracking server for a team: runs in PostgreSQL, files in a folder, and MLflow's own users and passwords.
#
#   pip install 'psycopg[binary]' 'Flask-WTF<2'       # beside the environment of requirements.lock
#   createuser --pwprompt mlflow && createdb --owner mlflow --encoding UTF8 --template template0 mlflow
#   launch/mlflow_server.sh                           # options of `mlflow server` may follow
#
# It listens on 127.0.0.1, port 5000. For others put a proxy with TLS before it, since passwords travel with each
# request; in a closed network say `--host 0.0.0.0 --allowed-hosts NAME:5000`.
#
# Passwords come from the environment, or from ~/.config/weightflow/mlflow_server.env (WEIGHTFLOW_MLFLOW_SETTINGS names
# another file), which nobody else may read, as lines NAME=VALUE; none is ever an argument of a process:
#   PGPASSWORD                  of the database's user; PGHOST, PGPORT, PGUSER, PGDATABASE: mlflow on this machine
#   MLFLOW_AUTH_ADMIN_PASSWORD  of the user `admin`, for the first start
# Its last line, MLFLOW_FLASK_SERVER_SECRET_KEY, is added by this script. On the machine that searches:
#   export MLFLOW_TRACKING_URI=http://SERVER:5000 MLFLOW_TRACKING_USERNAME=... MLFLOW_TRACKING_PASSWORD=...
set -euo pipefail
umask 077

refuse() {
    echo "$1" >&2
    exit 2
}

settings="${WEIGHTFLOW_MLFLOW_SETTINGS:-$HOME/.config/weightflow/mlflow_server.env}"
mkdir -p "$(dirname "$settings")"
touch "$settings"
case "$(stat -c %a "$settings")" in
    [46]00) ;;
    *) refuse "others can read $settings, which holds passwords; say \`chmod 600 $settings\`." ;;
esac
if ! grep -q '^MLFLOW_FLASK_SERVER_SECRET_KEY=' "$settings" && [ -z "${MLFLOW_FLASK_SERVER_SECRET_KEY-}" ]; then
    echo "MLFLOW_FLASK_SERVER_SECRET_KEY=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" >>"$settings"
fi
# Lines are read, not run; what the environment holds already wins.
while IFS= read -r line || [ -n "$line" ]; do
    [[ "$line" =~ ^(PG[A-Z]+|MLFLOW_[A-Z_]+)=(.*)$ ]] || continue
    [ -n "${!BASH_REMATCH[1]-}" ] || export "${BASH_REMATCH[1]}=${BASH_REMATCH[2]}"
done <"$settings"

python="${WEIGHTFLOW_PYTHON:-python}"
"$python" -c 'import flask_wtf, mlflow, psycopg' 2>/dev/null ||
    refuse "the server needs more than WeightFlow: pip install 'psycopg[binary]' 'Flask-WTF<2'"
[ -n "${PGPASSWORD-}" ] || [ -n "${PGPASSFILE-}" ] || [ -f ~/.pgpass ] ||
    refuse "no password for the database: set PGPASSWORD in $settings, or in the environment."

# Addresses name no password: PostgreSQL's library takes PGPASSWORD.
store="postgresql://${PGUSER:=mlflow}@${PGHOST:=127.0.0.1}:${PGPORT:=5432}/${PGDATABASE:=mlflow}"
# What MLflow says of a database that it cannot use comes after two minutes, and names no cause.
problem="$("$python" -c '
import sys, psycopg
try:
    with psycopg.connect(sys.argv[1], connect_timeout=10) as database:
        encoding = database.info.parameter_status("server_encoding")
except psycopg.Error as error:
    print(str(error).strip().splitlines()[0])
    sys.exit(1)
if encoding == "SQL_ASCII":
    print("its encoding is SQL_ASCII; make it with --encoding UTF8 --template template0, as this script says")
    sys.exit(1)
' "$store")" || refuse "the database $store cannot be used: $problem"
MLFLOW_AUTH_CONFIG_PATH="$(dirname "$settings")/mlflow_server_auth.ini"
export MLFLOW_AUTH_CONFIG_PATH MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
cat >"$MLFLOW_AUTH_CONFIG_PATH" <<END
[mlflow]
database_uri = $store
default_permission = READ
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
END

exec "$python" -m mlflow server --app-name basic-auth --host 127.0.0.1 --port 5000 --workers 2 \
    --backend-store-uri "$store" --serve-artifacts \
    --artifacts-destination "${WEIGHTFLOW_ARTIFACTS:-$HOME/weightflow-artifacts}" "$@"
