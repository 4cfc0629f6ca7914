# shellcheck shell=bash
# What compose/test and compose/faults share: a stack of their own beside whatever runs on this machine, with images made
# of the host's programs, fresh secrets and a free port; and its end.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
PROFILE=${PROFILE:-dev}
UP_SECONDS=${UP_SECONDS:-180}
work=$(mktemp -d)
chmod 0711 "$work"

# Without the settings of whoever runs this.
for name in $(compgen -e DROPMATE_; compgen -e COMPOSE_); do unset "$name"; done
project=dropmate-$1-$$
export DROPMATE_BINARIES=prebuilt DROPMATE_TAG=$project DROPMATE_SECRETS=$work/secrets
compose() { docker compose --env-file /dev/null --project-name "$project" --file compose/compose.yaml "$@"; }
# Also what only runs once.
whole() { compose --profile setup --profile tools "$@"; }

say() { printf '%s\n' "$*"; }
# The reason is said once more at the very end, below the state of the stack.
die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    printf '%s\n' "$*" >"$work/why"
    exit 1
}
seconds() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(seconds)" 'BEGIN { printf "%.1f s", b - a }'; }

# A port nobody listens on. Nothing can keep it free until Docker takes it; the next run would find another.
free_port() {
    local port
    for _ in $(seq 50); do
        port=$((20000 + RANDOM % 20000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
    die "no free port found"
}

# Whatever happens, nothing is left: containers, networks, volumes, images, secrets (root's or 65532's).
# shellcheck disable=SC2317 # called by the trap
tear_down() {
    local code=$?
    trap - EXIT
    if [ "$code" != 0 ]; then
        say "--- failed: the state of the stack" >&2
        compose ps --all >&2 || true
        compose logs --no-color --tail "${LOG_LINES:-100}" 2>&1 | grep -v /readyz >&2 || true
    fi
    if [ -d "$work/secrets" ]; then
        docker run --rm --network none --user 0 --entrypoint rm -v "$work:/mnt" "dropmate:$DROPMATE_TAG" -rf /mnt/secrets \
            >/dev/null 2>&1 || true
    fi
    whole down --volumes --remove-orphans --timeout 10 >/dev/null 2>&1 || true
    docker image rm "dropmate:$DROPMATE_TAG" "dropmate-control-plane:$DROPMATE_TAG" "dropmate-dispatch:$DROPMATE_TAG" \
        "dropmate-tracking:$DROPMATE_TAG" "dropmate-notification:$DROPMATE_TAG" \
        >/dev/null 2>&1 || true
    if [ "$code" != 0 ]; then say "${0##*/}: failed ($code): $(cat "$work/why" 2>/dev/null || echo "see above")" >&2; fi
    rm -rf "$work"
    exit "$code"
}
trap tear_down EXIT
trap 'exit 130' INT TERM

# Programs of the host into images: those in the folder PROGRAMS, else built with PROFILE.
build_images() {
    local programs=${PROGRAMS:-} program begun
    if [ -z "$programs" ]; then
        cargo build --locked --profile "$PROFILE" --workspace --bins
        programs=${CARGO_TARGET_DIR:-target}/$([ "$PROFILE" = dev ] && echo debug || echo "$PROFILE")
    fi
    mkdir -p compose/prebuilt
    for program in dropmate dropmate-control-plane dropmate-dispatch dropmate-tracking dropmate-notification; do
        strip -o "compose/prebuilt/$program" "$programs/$program"
    done
    begun=$(seconds)
    compose build -q dispatch tracking notification control-plane-1 migrate
    say "images made in $(since "$begun")"
}

# start [up's arguments]: secrets and a healthy stack.
start() {
    local begun
    DROPMATE_PORT=$(free_port)
    export DROPMATE_PORT
    whole run --rm bootstrap >"$work/bootstrap.log" 2>&1 || { cat "$work/bootstrap.log" >&2; die "bootstrap failed"; }
    begun=$(seconds)
    compose up -d --wait --wait-timeout "$UP_SECONDS" "$@" >"$work/up.log" 2>&1 ||
        { cat "$work/up.log" >&2; die "the stack is not healthy after $(since "$begun")"; }
    say "healthy after $(since "$begun")"
    # The same file as a person would take, readable for whoever runs this.
    whole run --rm -T --entrypoint cat cli /run/secrets/admin.kubeconfig >"$work/kubeconfig" 2>/dev/null
    export KUBECONFIG=$work/kubeconfig
}
