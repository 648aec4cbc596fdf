"""What stands in deploy/ is valid by the schemas of Kubernetes and by systemd itself, and its commands can be typed."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml
from celery.bin.beat import beat
from celery.bin.worker import worker

from bridge.command import bridge
from bridge.settings.bridge import SETTINGS
from tests.support.stage import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
MANIFESTS = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
UNITS = sorted(path for path in DEPLOY.iterdir() if path.suffix in (".service", ".timer"))
VERSIONS = ("1.28", "1.31", "1.34", kubernetes_validate.latest_version())
KNOWN = {"CELERY_BROKER_URL", *(f"BRIDGE_{name.upper()}" for name in SETTINGS)}


def containers() -> Iterator[dict[str, Any]]:
    for manifest in MANIFESTS:
        yield from manifest.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ())


def commands() -> Iterator[list[str]]:
    """Yield the command line of each container, probe and unit, and that of the compose file's probe."""
    for it in containers():
        yield it["command"]
        yield from (it[name]["exec"]["command"] for name in it if name.endswith("Probe"))
    for unit in UNITS:
        for line in unit.read_text().splitlines():
            if line.startswith("ExecStart="):
                words = shlex.split(line.removeprefix("ExecStart=").replace("%%", "%"))
                yield [Path(words[0]).name, *words[1:]]
    services = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]
    yield services["bridge"]["healthcheck"]["test"][1:]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_manifests_are_valid_in_each_version_of_kubernetes(version: str) -> None:
    assert {it["kind"] for it in MANIFESTS} == {"Secret", "Job", "Deployment", "PodDisruptionBudget"}
    for manifest in MANIFESTS:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_a_mistake_in_a_manifest_is_noticed() -> None:
    wrong = {**MANIFESTS[0], "stringDate": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


@pytest.mark.parametrize("command", list(commands()), ids=shlex.join)
def test_each_command_can_be_typed(command: list[str]) -> None:
    match command:
        case ["eventbridge", name, *args]:
            found = bridge.commands[name]
            with click.Context(found, info_name=name) as context:
                found.parse_args(context, list(args))
        case ["celery", "-A", "bridge", "worker", *args]:
            worker.make_parser(click.Context(worker)).parse_args(list(args))
        case ["celery", "-A", "bridge", "beat", *args]:
            beat.make_parser(click.Context(beat)).parse_args(list(args))
        case ["sh", "-c", script]:
            assert subprocess.run(["sh", "-n", "-c", script], check=False).returncode == 0
        case _:
            pytest.fail(f"this test does not know {command}")


def test_what_the_environment_sets_is_read() -> None:
    names = {name for it in MANIFESTS if it["kind"] == "Secret" for name in it["stringData"]}
    lines = (DEPLOY / "eventbridge.env").read_text().splitlines()
    names |= {line.lstrip("#").partition("=")[0] for line in lines if line.lstrip("#").partition(" ")[0].count("=")}
    assert {"BRIDGE_DATABASE_URL", "CELERY_BROKER_URL"} < names <= KNOWN


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    """The units are verified as they stand, but for programs and users that a machine of the bridge's would have."""
    if (verify := shutil.which("systemd-analyze")) is None:
        pytest.skip("systemd is not installed")
    for unit in UNITS:
        text = unit.read_text().replace("/opt/eventbridge/bin/", "/usr/bin/env ")
        (tmp_path / unit.name).write_text(text)
    told = subprocess.run(
        [verify, "verify", "--man=no", "--recursive-errors=no", *(str(tmp_path / unit.name) for unit in UNITS)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
    broken = tmp_path / "broken.service"
    broken.write_text((tmp_path / "eventbridge-beat.service").read_text().replace("RestartSec=5", "RestartSec=soon"))
    told = subprocess.run([verify, "verify", "--man=no", str(broken)], capture_output=True, text=True, check=False)
    assert "Failed to parse sec value" in told.stderr
