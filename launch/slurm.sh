#!/usr/bin/env bash
# A search as one job of Slurm on several nodes, which goes on in a new one when its time is up. From the checkout, with
# an environment of requirements.lock active (or named by WEIGHTFLOW_PYTHON), and a folder that all nodes share:
#
#   export MLFLOW_TRACKING_URI=http://SERVER:5000
#   sbatch --nodes 4 --gpus-per-node 2 launch/slurm.sh --name night --out /nfs/runs --data /nfs/cells.npz --trials 500
#
# What stands after the script are options of launch/tune.py, with --name and --out among them; all else has defaults
# below, which options of sbatch before the script replace. Five minutes before the end of its time the job stops the
# search as Ctrl-C would and is queued again under the same number; there it resumes. So it does after a node was lost
# or taken. `--deadline 3h30m` among its options, a little less than the job's time without those five minutes, makes the
# search end in one job instead, with fewer trials, model and report. `scancel --batch --signal=TERM JOB` stops it for
# good, and keeps what is finished (plain `scancel` takes Ray away under it); `sbatch` with the same options goes on.
#SBATCH --job-name=weightflow
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --no-kill
#SBATCH --open-mode=append
#SBATCH --output=weightflow-%j.log
set -euo pipefail

readonly PATIENCE=200 # seconds that a search may take to stop; the rest of the five minutes is Slurm's own
readonly HEAD_SECONDS=120

refuse() {
    echo "$1" >&2
    exit 2
}

name="" out="" settings=mlflow.yml rest=()
while (($#)); do
    case "$1" in
        --name=* | --out=* | --mlflow=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
        --name) name="${2-}" && shift $(($# > 1 ? 2 : 1)) ;;
        --out) out="${2-}" && shift $(($# > 1 ? 2 : 1)) ;;
        --mlflow) settings="${2-}" && shift $(($# > 1 ? 2 : 1)) ;;
        --address | --address=* | --resume | --resume=*) refuse "leave out \`$1\`: the job says that itself." ;;
        *) rest+=("$1") && shift ;;
    esac
done
[ -n "${SLURM_JOB_ID-}" ] || refuse "this is a job of Slurm: start it with \`sbatch launch/slurm.sh ...\`."
[[ -n "$name" && -n "$out" ]] || refuse "give --name and --out: a job that is queued again finds its search by them."
cd "${SLURM_SUBMIT_DIR:-.}"
[[ "$out" != *://* ]] || refuse "--out $out: the nodes share a folder there, with the job's token in it; give a folder."
[ -f launch/tune.py ] || refuse "call sbatch in the root of the checkout; $PWD has no launch/tune.py."
python="${WEIGHTFLOW_PYTHON:-python}"
ray="$(dirname "$(command -v "$python")")/ray"
[ -x "$ray" ] || refuse "no ray beside $python; activate the environment, or name its Python in WEIGHTFLOW_PYTHON."

# SQLite on a network file system is damaged sooner or later: another node's lock may not be seen.
store="$(sed -n 's|^tracking_uri: *sqlite:///||p' "$settings")"
[[ "$store" = /* ]] || store="$(dirname "$settings")/$store"
if [ -z "${MLFLOW_TRACKING_URI-}" ] && grep -q '^tracking_uri: *sqlite:' "$settings"; then
    case "$(stat -f -c %T "$(dirname "$store")")" in
        nfs* | lustre | gpfs | beegfs | cifs | smb* | ceph | fuse*)
            refuse "$store is on a network file system; set MLFLOW_TRACKING_URI to a server (launch/mlflow_server.sh)."
            ;;
    esac
fi

# The password of this job's Ray, in a file that nobody else reads; the environment holds its place alone.
mkdir -p "$out"
out="$(cd "$out" && pwd)"
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$out/.ray-token-$SLURM_JOB_ID"
rm -f "$RAY_AUTH_TOKEN_PATH"
(umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$RAY_AUTH_TOKEN_PATH")
export RAY_USAGE_STATS_ENABLED=0 MLFLOW_DISABLE_TELEMETRY=true
export SRUN_CPUS_PER_TASK="${SLURM_CPUS_PER_TASK:-1}" # srun does not take it over from sbatch
unset RAY_ADDRESS RAY_AUTH_TOKEN # which Ray would prefer

end() {
    trap '' TERM USR1
    # shellcheck disable=SC2046 # one word for each
    kill $(jobs -p) 2>/dev/null || true
    wait || true
    rm -f "$RAY_AUTH_TOKEN_PATH"
}
trap end EXIT

# One step for each node, so that one that dies takes no other along. Ray's folder is in one that nobody else enters.
# There is no dashboard, and what listens asks for the token.
on_node() {
    local node="$1"
    shift
    # shellcheck disable=SC2016 # each node expands it for itself
    srun --nodes=1 --ntasks=1 --nodelist="$node" --job-name=ray bash -c '
        folder="$(mktemp -d /tmp/wf-XXXXXX)" # a short path, for the sockets in it
        trap "rm -rf \"\$folder\"" EXIT
        trap "kill \$!; rm -rf \"\$folder\"" TERM # at once: Slurm kills what is still there half a minute later
        "$@" --temp-dir="$folder/r" --num-cpus="$SRUN_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" \
            --block --disable-usage-stats &
        wait $! || wait $!' ray "$@" >&2 &
}

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
ip="$("$python" -c 'import ray; print(ray.util.get_node_ip_address())')"
port=$((20000 + SLURM_JOB_ID % 10000)) # another job may have a head on this node
on_node "${nodes[0]}" "$ray" start --head --port="$port" --ray-client-server-port=$((port + 10000)) \
    --include-dashboard=false
head=$!
until (exec 3<>"/dev/tcp/$ip/$port") 2>/dev/null; do
    if ! kill -0 "$head" 2>/dev/null || ((SECONDS > HEAD_SECONDS)); then
        echo "Ray's head did not start on ${nodes[0]}; what it said stands above" >&2
        exit 1
    fi
    sleep 1
done
for node in "${nodes[@]:1}"; do
    on_node "$node" "$ray" start --address="$ip:$port"
done

verb=--name
[ -f "$out/$name/study.log" ] && verb=--resume
gpus=$((${SLURM_GPUS_ON_NODE:-0} * ${#nodes[@]}))
cpus=$((SRUN_CPUS_PER_TASK * ${#nodes[@]}))
# Nodes join while the search begins, hence --elastic.
"$python" launch/tune.py --address "$ip:$port" --elastic --cpus "$cpus" --gpus "$gpus" --out "$out" \
    --mlflow "$settings" "$verb" "$name" "${rest[@]}" &
search=$!

# A shell starts what runs behind it deaf to SIGINT; SIGTERM means the same to a search.
# shellcheck disable=SC2317 # traps call it
stop() {
    stopped=true
    echo "stopping the search: $1" >&2
    kill -TERM "$search" 2>/dev/null || true
    for ((second = 0; second < PATIENCE; second++)); do
        kill -0 "$search" 2>/dev/null || return 0
        sleep 1
    done
    kill -KILL "$search" 2>/dev/null || true # what is on disk suffices to go on
}
again=false stopped=false
trap 'again=true; stop "the time of the job is nearly up"' USR1
trap 'rm -f "$RAY_AUTH_TOKEN_PATH"; stop "the job was told to end"' TERM

code=0
wait "$search" || code=$?
if $stopped; then # that wait told of the signal
    code=0
    wait "$search" || code=$?
fi
if $again && ((code != 0)); then
    end
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
