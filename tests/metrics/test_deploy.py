"""Docs, rules, dashboard and the compose file name what is there, and nothing else."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.command.exporter import DEFAULT_PORT
from bridge.metrics.definitions import METRICS
from tests.support.following import blocks
from tests.support.package import runbooks_at
from tests.support.prometheus import promtool
from tests.support.stage import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboards" / "bridge.json").read_text())
COMPOSE = (REPOSITORY / "docker-compose.yml").read_text()
SERIES = {
    f"{metric.name}{suffix}"
    for metric in METRICS
    for suffix in (("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",))
}


def test_the_docs_list_every_metric_with_its_labels_and_its_help() -> None:
    wanted = [
        f"| `{it.name}` | {it.kind} | {', '.join(f'`{label}`' for label in it.labels) or '-'} | {it.help} |"
        for it in METRICS
    ]
    table = re.findall(r"^\| `bridge_.*$", (REPOSITORY / "docs" / "metrics.md").read_text(), re.MULTILINE)
    assert table == wanted, "\n".join(["the table in docs/metrics.md must be:", *wanted])


def test_names_have_their_unit_and_only_counters_end_in_total() -> None:
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names))
    for metric in METRICS:
        assert re.fullmatch(r"bridge_[a-z]+(_[a-z]+)*", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.kind != "histogram" or metric.unit == "seconds"
        assert metric.help.endswith(".")


def test_every_alert_has_a_paragraph_of_its_own_that_its_runbook_names() -> None:
    rules = RULES.read_text()
    alerts = re.findall(r"^ +- alert: (\w+)$", rules, re.MULTILINE)
    runbooks = re.findall(r"^ +runbook_url: (\S+)$", rules, re.MULTILINE)
    assert runbooks == [f"{runbooks_at()}#{alert.lower()}" for alert in alerts], (
        'BRIDGE_TEST_REFERENCE=1 make test ARGS="-k reference" writes them anew'
    )
    page = (REPOSITORY / "docs" / "alerts.md").read_text()
    paragraphs = dict(re.findall(r"^## (\w+)\n\n(.+?)(?=\n\n## |\Z)", page, re.DOTALL | re.MULTILINE))
    assert [*paragraphs] == alerts
    assert all(text.startswith("*") and len(text) > 200 for text in paragraphs.values())


def test_rules_and_panels_ask_for_metrics_that_there_are() -> None:
    told = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    rules = re.sub(r"summary:.*", "", RULES.read_text()).replace("bridge_log_limit.", "")
    asked = set(re.findall(r"\bbridge_\w+", rules)) | set(re.findall(r"\bbridge_\w+", " ".join(told)))
    assert asked <= SERIES
    shown = set(re.findall(r"\bbridge_\w+", " ".join(told)))
    left = {it.name for it in METRICS if not any(name.startswith(it.name) for name in shown)}
    assert not left, "the dashboard shows everything"


def test_the_configuration_that_the_page_shows_finds_the_rules_beside_it(tmp_path: Path) -> None:
    [shown] = [block for block in blocks("metrics.md") if block.kind == "yaml"]
    (tmp_path / "prometheus.yml").write_text(shown.text)
    shutil.copy(RULES, tmp_path)
    promtool("check", "config", tmp_path / "prometheus.yml")
    (tmp_path / RULES.name).unlink()
    with pytest.raises(AssertionError):
        promtool("check", "config", tmp_path / "prometheus.yml")


def test_promtool_finds_the_rules_and_the_configuration_right() -> None:
    promtool("check", "rules", RULES)
    promtool("check", "config", DEPLOY / "prometheus" / "prometheus.yml")


def test_each_alert_fires_where_it_should_and_not_before(tmp_path: Path) -> None:
    played = (Path(__file__).parent / "alerts_test.yml").read_text().replace("RULES", str(RULES), 1)
    file = tmp_path / "alerts_test.yml"
    file.write_text(played)
    promtool("test", "rules", file)
    assert not [it for it in re.findall(r"- alert: (\w+)", RULES.read_text()) if f'"{it}"' not in played]


def test_the_compose_file_provisions_both_with_files_that_are_there() -> None:
    for path in re.findall(r"- (\./deploy/\S+?):/", COMPOSE):
        assert (REPOSITORY / path).is_dir(), path
    assert f"exporter:{DEFAULT_PORT}" in (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    assert f"127.0.0.1:{DEFAULT_PORT}/metrics" in COMPOSE
    provider = (DEPLOY / "grafana" / "provisioning" / "dashboards" / "bridge.yml").read_text()
    [dashboards] = re.findall(r"path: (\S+)", provider)
    assert f"./deploy/grafana/dashboards:{dashboards}:ro" in COMPOSE
    assert len(re.findall(r'profiles: \["metrics"\]', COMPOSE)) == 3
    assert all(":latest" not in image for image in re.findall(r"image: (\S+)", COMPOSE))


def test_panels_do_not_overlap_and_have_a_title_and_a_text() -> None:
    places = set[tuple[int, int]]()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & places and at["x"] + at["w"] <= 24, panel["title"]
        places |= cells
        assert panel["type"] == "row" or panel["description"].endswith(".")
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_each_service_of_the_compose_file_but_the_migration_is_started_again_after_a_crash() -> None:
    services = yaml.safe_load(COMPOSE)["services"]
    assert {name for name, it in services.items() if it.get("restart") != "unless-stopped"} == {"migrate"}
    assert {name for name, it in services.items() if "healthcheck" not in it} == {"migrate", "grafana"}
