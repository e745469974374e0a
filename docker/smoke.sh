#!/usr/bin/env bash
# Try what the image does without a container engine, on plain Debian with Python 3.11 to 3.13:
# install the image's lock, copy what the Dockerfile copies, and run its entry point as a network
# of four validators and an observer until they have blocks; then stop them by SIGTERM and look at their exit codes.
#   docker/smoke.sh                  installs the lock into a fresh environment (takes a minute)
#   SMOKE_PYTHON=.venv/bin/python docker/smoke.sh    uses an environment that is there
#   SMOKE_HEIGHT=5 SMOKE_SECONDS=90 SMOKE_PORT=27656 are the other settings
set -euo pipefail
cd "$(dirname "$0")/.."
height_wanted=${SMOKE_HEIGHT:-3}
seconds_max=${SMOKE_SECONDS:-90}
port=${SMOKE_PORT:-27656}
work=$(mktemp -d)
pids=()

finish() {
  for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT

say() { echo "smoke: $*"; }
fail() {
  say "FAILED: $*"
  for log in "$work"/*.out "$work"/net/*/logs/node.log; do
    [ -f "$log" ] && { echo "--- $log"; tail -n 15 "$log"; }
  done
  exit 1
}

if [ -n "${SMOKE_PYTHON:-}" ]; then
  python=$(realpath -s "$SMOKE_PYTHON")
else
  say "installing docker/requirements.lock"
  python3 -m venv "$work/venv"
  python=$work/venv/bin/python
  "$python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
    --only-binary :all: -r docker/requirements.lock
fi

# The sources, exactly as the stage `sources` of the Dockerfile has them.
mkdir -p "$work/srv/bin"
while read -r _ from to; do
  case $to in
    /srv/andon/bin/*) cp "$from" "$work/srv/bin/${to##*/}" ;;
    /srv/andon/*) cp -r "$from" "$work/srv/" ;;
  esac
done < <(grep -E '^COPY [^-]' docker/Dockerfile)
export PYTHONPATH=$work/srv PYTHONDONTWRITEBYTECODE=1
cd "$work"

say "$("$python" --version), entry points"
"$python" -m node --help >"$work/help.out" 2>&1 || fail "python -m node --help"
PATH="$(dirname "$python"):$PATH" sh "$work/srv/bin/andon" --version >"$work/cli.out" 2>&1 ||
  fail "andon --version"

addresses=()
for index in 0 1 2 3; do addresses+=("--address=127.0.0.1:$((port + 2 * index))"); done
"$python" -m scripts.ceremony trial --out "$work/net" --observers 1 "${addresses[@]}" >"$work/trial.out" 2>&1 ||
  fail "scripts.ceremony trial"

started=$SECONDS
names=(validator-0 validator-1 validator-2 validator-3 observer-0)
for index in "${!names[@]}"; do
  home=$work/net/${names[$index]}
  sed -i "s/^peer_port = .*/peer_port = $((port + 2 * index))/" "$home/config.toml"
  sed -i "s/^rpc_port = .*/rpc_port = $((port + 2 * index + 1))/; s/^\(peer\|rpc\)_host = .*/\1_host = \"127.0.0.1\"/" \
    "$home/config.toml"
  "$python" -m node --home "$home" >"$work/${names[$index]}.out" 2>&1 &
  pids+=($!)
done

fetch() {
  "$python" -c 'import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=5).read().decode())' "$1"
}

height() {
  "$python" - "$1" <<'PYTHON'
import sys, urllib.request as request
base = f"http://127.0.0.1:{sys.argv[1]}"
try:
    text = request.urlopen(base + "/metrics", timeout=3).read().decode()
    lines = [line for line in text.splitlines() if line.startswith("cometbft_consensus_height ")]
    print(int(float(lines[0].split()[1])))
except (OSError, IndexError, ValueError):
    print(-1)
PYTHON
}

for index in "${!names[@]}"; do
  while [ "$(height $((port + 2 * index + 1)))" -lt "$height_wanted" ]; do
    kill -0 "${pids[$index]}" 2>/dev/null || fail "${names[$index]} has ended"
    [ $((SECONDS - started)) -lt "$seconds_max" ] || fail "no height $height_wanted in $seconds_max s"
    sleep 0.5
  done
done
say "height $height_wanted on four validators and an observer after $((SECONDS - started)) s"

# Ready comes last: the model worker has to compile first.
for probe in live startup ready; do
  until fetch "http://127.0.0.1:$((port + 1))/health/$probe" >"$work/$probe.out" 2>&1; do
    [ $((SECONDS - started)) -lt "$seconds_max" ] || fail "probe $probe"
    sleep 0.5
  done
done
say "live, started and ready after $((SECONDS - started)) s"
fetch "http://127.0.0.1:$((port + 1))/metrics" >"$work/metrics.txt"
if command -v promtool >/dev/null; then
  promtool check metrics <"$work/metrics.txt" || fail "promtool check metrics"
  say "metrics are good"
else
  say "promtool is not installed, metrics not checked"
fi

for pid in "${pids[@]}"; do kill -TERM "$pid"; done
for index in "${!names[@]}"; do
  status=0
  wait "${pids[$index]}" || status=$?
  [ "$status" -eq 0 ] || fail "${names[$index]} ended with $status after SIGTERM"
done
pids=()
say "all five ended cleanly; ok"
