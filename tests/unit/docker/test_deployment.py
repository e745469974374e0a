"""Image, compose file, chart and unit agree with the node that they start."""

import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

from node.config import Config, parse_config
from scripts import ceremony

ROOT = Path(__file__).resolve().parents[3]
DOCKERFILE = (ROOT / "docker/Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "docker/compose.yaml").read_text(encoding="utf-8"))
CHART = ROOT / "docker/helm/andon"
HOMES = "/var/lib/andon"


def stages() -> dict[str, str]:
    """Text of each stage of the Dockerfile by name."""
    parts = re.split(r"^FROM \S+ AS (\S+)$", DOCKERFILE, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_image_holds_every_package_that_a_node_may_import() -> None:
    copied = set(re.findall(r"^COPY (\w+) /srv/andon/", DOCKERFILE, re.MULTILINE))
    packages = {"andon", "consensus", "contracts_py", "models", "node", "scripts"}
    assert copied == packages
    ignored = (ROOT / "docker/Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[1] == "*"
    assert {line[1:] for line in ignored if line.startswith("!")} >= packages


def test_both_images_end_as_a_user_without_rights() -> None:
    for name in ("node", "node-gpu"):
        users = re.findall(r"^USER (\S+)$", stages()[name], re.MULTILINE)
        assert users == ["10001:10001"]


def test_images_install_from_locks_with_hashes() -> None:
    for name, lock in (("dependencies", "requirements"), ("dependencies-gpu", "requirements-gpu")):
        assert f"COPY docker/{lock}.lock" in stages()[name]
        assert "--require-hashes --no-deps --only-binary :all:" in stages()[name]


def test_compose_makes_the_homes_that_its_validators_use(tmp_path: Path) -> None:
    options = ceremony.parser().parse_args(COMPOSE["services"]["homes"]["command"])
    assert options.out == Path(HOMES)
    validators = [name for name in COMPOSE["services"] if name.startswith("validator-")]
    assert [text.split(":")[0] for text in options.address] == validators
    for index, name in enumerate(validators):
        assert COMPOSE["services"][name]["command"] == ["--home", f"{HOMES}/validator-{index}"]
    assert options.observers == 1
    assert COMPOSE["services"]["observer-0"]["command"] == ["--home", f"{HOMES}/observer-0"]


def test_compose_and_prometheus_name_the_same_nodes() -> None:
    config = yaml.safe_load((ROOT / "docker/prometheus/prometheus.yml").read_text("utf-8"))
    targets = [
        target
        for job in config["scrape_configs"]
        for group in job.get("static_configs", [])
        for target in group["targets"]
    ]
    names = [name for name in COMPOSE["services"] if name.startswith(("validator-", "observer-"))]
    assert targets == [f"{name}:{Config().rpc_port}" for name in names]


def test_gateways_have_a_job_whose_list_lies_where_it_is_mounted() -> None:
    folder = ROOT / "docker/prometheus"
    config = yaml.safe_load((folder / "prometheus.yml").read_text("utf-8"))
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    (lists,) = jobs["andon-gateway"]["file_sd_configs"]
    text = (folder / lists["files"][0]).read_text("utf-8")
    assert yaml.safe_load(text) == []
    example = yaml.safe_load("\n".join(re.findall(r"^#  (.*)$", text, re.MULTILINE)))
    assert example == [
        {"targets": ["127.0.0.1:9464"], "labels": {"role": "gateway", "network": "andon"}}
    ]
    assert "./prometheus:/etc/prometheus:ro" in COMPOSE["services"]["prometheus"]["volumes"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Debian: apt install prometheus")
@pytest.mark.parametrize(
    "arguments",
    [("check", "config", "prometheus.yml"), ("test", "rules", "alerts_test.yml")],
    ids=["config", "rules"],
)
def test_prometheus_itself_takes_its_files(arguments: tuple[str, ...]) -> None:
    folder = ROOT / "docker/prometheus"
    done = subprocess.run(
        ["promtool", *arguments], cwd=folder, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_publishes_on_loopback_alone() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert len(ports) >= 5
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_settings_that_the_chart_writes_are_settings_of_a_node() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))["node"]
    template = (CHART / "templates/_helpers.tpl").read_text(encoding="utf-8")
    block = template[template.index("peer_host = ") : template.index("{{- with .node.config }}")]
    text = re.sub(r"{{ if .*{{ else }}(.*?){{ end }}", r"\1", block)
    text = re.sub(r"^{{- .*}}$", "", text, flags=re.MULTILINE)
    text = text.replace("{{ .root.Values.observerKeys | toJson }}", "[]")
    text = re.sub(r"{{ \.node\.(\w+) }}", lambda match: str(values[match[1]]), text)
    config = parse_config(text)
    assert (config.peer_host, config.rpc_host) == ("0.0.0.0", "0.0.0.0")
    assert (config.peer_port, config.rpc_port) == (Config().peer_port, Config().rpc_port)
    door = {config.rpc_tls_cert, config.rpc_keys_file, config.rpc_client_ca}
    assert {Path(path).parent for path in door} == {Path("/var/lib/andon-door")}


def test_chart_speaks_tls_to_probes_and_prometheus_where_the_port_does() -> None:
    nodes = (CHART / "templates/nodes.yaml").read_text(encoding="utf-8")
    probes = re.findall(r"httpGet: {path: /health/\w+, port: rpc(.*)}\n", nodes)
    assert probes == [", scheme: {{ $scheme }}"] * 3
    monitor = (CHART / "templates/servicemonitor.yaml").read_text(encoding="utf-8")
    assert "{{- if .Values.rpc.tls }}\n      scheme: https\n" in monitor


def test_alerts_of_the_chart_are_those_of_prometheus_with_the_labels_that_they_ask_for() -> None:
    alerts = (CHART / "alerts.yml").read_text(encoding="utf-8")
    assert alerts == (ROOT / "docker/prometheus/alerts.yml").read_text(encoding="utf-8")
    monitor = (CHART / "templates/servicemonitor.yaml").read_text(encoding="utf-8")
    asked = set(re.findall(r"[{,] ?(job|role|network)=", alerts)) | {"network"}
    assert asked == {"job", "role", "network"}
    assert set(re.findall(r"targetLabel: (\w+)", monitor)) == asked


def test_chart_never_runs_two_nodes_with_one_key() -> None:
    template = (CHART / "templates/nodes.yaml").read_text(encoding="utf-8")
    assert re.findall(r"^  replicas: (.+)$", template, re.MULTILINE) == ["1"]
    assert "ReadWriteOncePod" in template
    assert "publishNotReadyAddresses: true" in template


def test_pod_copies_keys_privately_and_refuses_another_genesis(tmp_path: Path) -> None:
    template = (CHART / "templates/nodes.yaml").read_text(encoding="utf-8")
    script = template[
        template.index("home=/var/lib") : template.index("securityContext: &hardened")
    ]
    setup, home = tmp_path / "setup", tmp_path / "home"
    for name, text in (("genesis/genesis.json", "{}"), ("config/config.toml", "")):
        (setup / name).parent.mkdir(parents=True)
        (setup / name).write_text(text, encoding="utf-8")
    (setup / "keys/..data").mkdir(parents=True)  # a Secret is mounted as links, readable by a group
    (setup / "keys/..data/node.key").write_text("secret", encoding="utf-8")
    (setup / "keys/..data/node.key").chmod(0o440)
    (setup / "keys/node.key").symlink_to("..data/node.key")
    (home / "keys").mkdir(parents=True)

    def start() -> int:
        own = re.sub(r"{{- if .*?{{- end }}", "", script, flags=re.DOTALL)
        own = own.replace("/setup", str(setup)).replace("/var/lib/andon/home", str(home))
        done = subprocess.run(["sh", "-eu", "-c", own], check=False, capture_output=True)
        return done.returncode

    assert (start(), start()) == (0, 0)
    key = home / "keys/node.key"
    assert not key.is_symlink()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    (setup / "genesis/genesis.json").write_text("{ }", encoding="utf-8")
    assert start() == 1
    assert (home / "genesis.json").read_text(encoding="utf-8") == "{}"


def test_unit_of_systemd_starts_what_the_image_starts() -> None:
    unit = (ROOT / "docker/systemd/andon-node.service").read_text(encoding="utf-8")
    assert 'ENTRYPOINT ["python", "-m", "node"]' in DOCKERFILE
    assert 'CMD ["--home", "/var/lib/andon"]' in DOCKERFILE
    assert f"ExecStart=/opt/andon/bin/python -m node --home {HOMES}\n" in unit
    assert "\nStateDirectory=andon\n" in unit
