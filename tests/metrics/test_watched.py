"""Dashboard and alerts at work: a real Prometheus scrapes a bridge worker, and every query finds data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from bridge.demo.servers.server import free_port
from tests.conftest import WORKERS
from tests.support.databases import Databases, RedisDatabases
from tests.support.prometheus import Prometheus, prometheus
from tests.support.stage import REPOSITORY, Stage
from tests.support.waiting import wait_until

DEPLOY = REPOSITORY / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "bridge.json").read_text())
RULES = (DEPLOY / "prometheus" / "alerts.yml").read_text()
SELECTOR = re.compile(r"\bbridge_\w+(?:\{[^}]*\})?")
GRAFANA = {"$__rate_interval": "1m", "$client": ".*"}


class Watched(NamedTuple):
    """A bridge worker at work, and a Prometheus that scrapes it."""

    stage: Stage
    prometheus: Prometheus


def expressions() -> list[str]:
    """Return the queries of all panels."""
    found = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    for name, value in GRAFANA.items():
        found = [expression.replace(name, value) for expression in found]
    return found


def of_rules() -> list[str]:
    """Return what the rules select: names, with the labels that they ask for."""
    rules = re.sub(r"^ *(?:#|summary:|runbook_url:|- alert:|- name:).*$", "", RULES, flags=re.MULTILINE)
    return sorted(set(SELECTOR.findall(rules)))


@pytest.fixture(scope="module")
def _watched(
    _databases: Databases, _redis_databases: RedisDatabases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    directory, port = tmp_path_factory.mktemp("watched"), free_port()
    with (
        _redis_databases.empty() as redis_url,
        _databases.clone() as database,
        prometheus(directory, target=port) as asked,
    ):
        stage = Stage(database, redis_url, directory)
        try:
            stage.bridge(
                wait=False,
                BRIDGE_METRICS_PORT=str(port),
                BRIDGE_KEEP="30d",
                BRIDGE_LOG_LIMIT="200GB",
                BRIDGE_LINGER_SECONDS="1",
            )
            stage.fleet()
            stage.workers[0].wait_until_ready()
            stage.client("shop", max_attempts=1)
            stage.client("halted", max_attempts=1, on_exhausted="halt")
            for n in range(20):
                stage.publish("shop.ordered", {"do": "fail" if n % 4 == 0 else ""})
            stage.publish("halted.ordered", {"do": "fail"})
            stage.publish("halted.ordered")
            stage.wait_until_done("shop")
            yield Watched(stage, asked)
        finally:
            stage.close()


@pytest.fixture
def watched(request: pytest.FixtureRequest, _watched: Watched) -> Watched:
    request.node.stash[WORKERS] = _watched.stage.workers
    return _watched


def value(asked: Prometheus, expression: str) -> float:
    found = asked.query(expression)
    return float(found[0]["value"][1]) if found else -1


def test_a_bridge_worker_tells_what_the_processes_of_its_pool_have_done(watched: Watched) -> None:
    asked = watched.prometheus
    wanted = {
        'bridge_client_succeeded_total{client="shop"}': 15.0,
        'bridge_client_failed_total{client="shop"}': 5.0,
        'bridge_client_delivered_total{client="shop"}': 20.0,
        'bridge_client_parked_by_type{client="shop"}': 5.0,
        'bridge_client_state{client="halted", state="halted"}': 1.0,
        "bridge_database_up": 1.0,
        "bridge_broker_up": 1.0,
        "bridge_collectors": 1.0,
        "bridge_pass_duration_seconds_count > bool 0": 1.0,
        "bridge_settle_duration_seconds_count > bool 0": 1.0,
        "bridge_beat_silent_seconds < bool 60": 1.0,
        "bridge_pump_silent_seconds < bool 60": 1.0,
        "bridge_collector_silent_seconds < bool 60": 1.0,
    }
    wait_until(
        lambda: {it: value(asked, it) for it in wanted} == wanted or None,
        what=f"{wanted}; { ({it: value(asked, it) for it in wanted}) }",
    )


def test_a_tick_that_beat_sends_is_a_sign_of_beat(watched: Watched) -> None:
    names = "SELECT count(*) FROM fq.turns WHERE name = 'tick' OR starts_with(name, 'beat ')"
    wait_until(lambda: watched.stage.ask(names) == 2, what="a pump and beat have given a sign")


def test_every_panel_has_a_query_with_data_behind_it(watched: Watched) -> None:
    assert len(expressions()) > 35

    def empty() -> list[str]:
        return [expression for expression in expressions() if not watched.prometheus.query(expression)]

    wait_until(lambda: not empty(), what="all panels have data", poll_seconds=0.5)
    shown = {name for it in expressions() for name in re.findall(r"bridge_\w+", it)}
    assert len(shown) > 35


def test_every_alert_asks_for_what_is_there(watched: Watched) -> None:
    asked_for = of_rules()
    assert len(asked_for) > 15 and 'bridge_client_state{state="halted"}' in asked_for
    missing = [it for it in asked_for if not watched.prometheus.query(it)]
    assert not missing


def test_the_list_of_clients_to_choose_from_is_that_of_the_table(watched: Watched) -> None:
    [query] = [it["definition"] for it in DASHBOARD["templating"]["list"] if it["name"] == "client"]
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", query).groups()  # type: ignore[union-attr]
    found: list[dict[str, Any]] = watched.prometheus.query(metric)
    assert {it["metric"][label] for it in found} == {"shop", "halted"}
