"""Alert rules and dashboard ask for metrics that exist, and name runbooks that exist."""

import json
import re
from pathlib import Path

import yaml

from andon.gateway.config import OutboxTable
from andon.gateway.metrics import Face
from andon.gateway.outbox import Outbox
from andon.gateway.watch import Watch
from node import metrics
from scripts.check_docs import anchors

ROOT = Path(__file__).resolve().parents[3]
ALERTS = ROOT / "docker/prometheus/alerts.yml"
DASHBOARD = ROOT / "docker/grafana/andon.json"
NAME = re.compile(r"\b(?:cometbft|andon)_[a-z0-9_]+")
OF_HISTOGRAM = re.compile(r"_(?:bucket|sum|count)$")


def offered() -> set[str]:
    """Names of a node's metrics as Prometheus sees them, without what histograms append."""
    declared = set(NAME.findall(Path(metrics.__file__).read_text(encoding="utf-8")))
    families = list(metrics.Metrics().registry.collect())
    counters = {f"{family.name}_total" for family in families if family.type == "counter"}
    gauges = declared - {family.name for family in families if family.type == "counter"}
    return counters | gauges


def asked(text: str) -> set[str]:
    return {OF_HISTOGRAM.sub("", name) for name in NAME.findall(text)}


def rules() -> list[dict[str, object]]:
    document = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def offered_by_a_gateway(folder: Path) -> set[str]:
    """Names of a gateway's metrics, counters as Prometheus sees them."""
    watch = Watch(lambda: 0)
    with Outbox(folder, OutboxTable(size_mb=1)) as outbox:
        Face(outbox, watch, lambda: 0, lambda: 0)
        families = list(watch.registry.collect())
    ends = {"counter": "_total"}
    return {family.name + ends.get(family.type, "") for family in families}


def test_every_metric_of_the_alert_rules_exists(tmp_path: Path) -> None:
    names = set().union(*(asked(str(rule["expr"])) for rule in rules()))
    assert len(names) >= 12
    assert names - offered() - offered_by_a_gateway(tmp_path) == set()


def test_the_page_of_the_gateway_tells_all_its_metrics(tmp_path: Path) -> None:
    page = (ROOT / "docs/gateway.md").read_text(encoding="utf-8")
    assert offered_by_a_gateway(tmp_path) - set(NAME.findall(page)) == set()


def test_every_metric_of_the_dashboard_exists() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    exprs = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    names = set().union(*map(asked, exprs))
    assert len(names) >= 20
    assert names - offered() == set()


def test_every_alert_leads_to_a_runbook() -> None:
    headings = anchors(ROOT / "docs/operator.md")
    assert len(rules()) >= 10
    for rule in rules():
        annotations = rule["annotations"]
        assert isinstance(annotations, dict)
        page, _, heading = annotations["runbook"].partition("#")
        assert page == "docs/operator.md"
        assert heading in headings, rule["alert"]


def test_panels_of_the_dashboard_have_their_own_ids_and_do_not_overlap() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
