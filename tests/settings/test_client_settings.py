"""A client's settings: each refuses what it can't be, the docs list them all, and registering checks what was given."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest

from bridge.errors import InvalidClient
from bridge.model import Registration
from bridge.settings.bridge import SETTINGS as OF_THE_BRIDGE
from bridge.settings.client import SETTINGS, ClientSettings, check
from bridge.settings.setting import MOST, About, Setting, settings_of

RUNNING = Path(__file__).parents[2] / "docs" / "running.md"

REFUSED: list[tuple[str, Any, str]] = [
    ("task", "", "must be text, not empty"),
    ("task", None, "must be text, not empty"),
    ("queue", 7, "must be text, not empty"),
    ("topics", "order.*", "must be a list of patterns"),
    ("topics", (), "must be a list of patterns"),
    ("topics", {"order.*"}, "must be a list of patterns"),
    ("topics", ("order.*", "a..b"), "topic pattern 'a..b' is malformed"),
    ("topics", (7,), "topic pattern 7 is malformed"),
    ("routes", "a=b", "must be a list of pairs"),
    ("routes", {"a": "b"}, "must be a list of pairs"),
    ("routes", ("ab",), "'ab' is not a pair"),
    ("routes", (("a", ""),), "('a', '') is not a pair"),
    ("routes", (("a", "b", "c"),), "is not a pair"),
    ("routes", (("a..b", "c"),), "topic pattern 'a..b' is malformed"),
    ("ordering", "keys", "must be one of key, none, strict"),
    ("on_exhausted", None, "must be one of park, hold-key, halt"),
    ("window", 0, f"must be a whole number from 1 to {MOST}"),
    ("window", MOST + 1, f"must be a whole number from 1 to {MOST}"),
    ("window", 1.0, "must be a whole number"),
    ("window", True, "must be a whole number"),
    ("window", "5", "must be a whole number"),
    ("backoff_seconds", -0.1, f"must be a number from 0 to {MOST}"),
    ("backoff_seconds", float("nan"), "must be a number"),
    ("backoff_max_seconds", float("inf"), "must be a number"),
    ("ack_timeout_seconds", 0, f"must be a number above 0, at most {MOST}"),
]


@dataclass(frozen=True)
class Bounded:
    """Settings with an upper bound of their own."""

    percent: Annotated[int, About("A share.", most=100)] = 50
    factor: Annotated[float, About("A factor.", above=1, most=4)] = 2


@pytest.mark.parametrize(
    ("name", "right", "wrong", "problem"),
    [
        ("percent", 100, 101, "must be a whole number from 0 to 100"),
        ("factor", 4, 4.1, "must be a number above 1, at most 4"),
    ],
)
def test_a_setting_may_have_an_upper_bound_of_its_own(name: str, right: float, wrong: float, problem: str) -> None:
    setting = settings_of(Bounded)[name]
    assert setting.problem(right) == ""
    assert setting.problem(wrong) == problem


def rows(heading: str) -> list[str]:
    """The rows of settings below a heading of the docs."""
    [section] = re.findall(rf"^## {heading}\n(.*?)(?=^## )", RUNNING.read_text(), re.MULTILINE | re.DOTALL)
    return re.findall(r"^\| `.*", section, re.MULTILINE)


def default_in_docs(setting: Setting) -> str:
    match setting.default:
        case None | "" | ():
            return "none"
        case bool(switch):
            return str(switch).lower()
        case int(number):
            return str(number)
        case float(number):
            return f"{number:g}"
        case (str(pattern),):
            return f"`{pattern}`"
        case text:
            return f"`{text}`"


@pytest.mark.parametrize(
    ("heading", "prefix", "settings"), [("Settings", "bridge_", OF_THE_BRIDGE), ("A client's settings", "", SETTINGS)]
)
def test_the_docs_list_every_setting_with_its_default_and_its_help(
    heading: str, prefix: str, settings: dict[str, Setting]
) -> None:
    table = rows(heading)
    wanted = [f"| `{prefix}{name}` | {default_in_docs(one)} | {one.help} |" for name, one in settings.items()]
    told = "\n".join(["the table in docs/running.md must be, with links as you like:", *wanted])
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", row) for row in table]
    assert plain == wanted, told


@pytest.mark.parametrize("settings", [OF_THE_BRIDGE, SETTINGS])
def test_a_help_text_is_a_sentence_and_the_default_is_allowed(settings: dict[str, Setting]) -> None:
    for setting in settings.values():
        assert re.fullmatch(r"[A-Z`].*[^.]\.", setting.help), setting.help
        assert setting.default is None or not setting.problem(setting.default), setting
        assert all(f"`{choice}`" in setting.help for choice in setting.choices), setting.help
        assert (setting.kind == "choice") == bool(setting.choices)


@pytest.mark.parametrize(("name", "value", "problem"), REFUSED)
def test_a_setting_refuses_what_it_cannot_be_and_says_what_it_must_be(name: str, value: Any, problem: str) -> None:
    with pytest.raises(InvalidClient, match=re.escape(problem)) as refused:
        check("c", {name: value})
    assert str(refused.value).startswith(f"client 'c': {name} is {value!r}, ")
    with pytest.raises(InvalidClient, match=re.escape(problem)):
        ClientSettings(**{"id": "c", "task": "t", name: value})


def test_a_client_needs_a_usable_id() -> None:
    for id in ("", "-c", "a b", "é", "c" * 101):
        with pytest.raises(InvalidClient, match=f"client id '{id}' is not usable"):
            ClientSettings(id=id, task="t")
    check("c" * 100, {})


def test_a_registration_checks_what_is_given_and_needs_no_task_until_it_is_applied() -> None:
    change = Registration(id="c", given={"batch": 10, "topics": ["order.*"], "routes": [["order.paid", "t2"]]})
    with pytest.raises(InvalidClient, match="client 'c' is new: say which task it calls"):
        change.applied_to(None)
    before = ClientSettings(id="c", task="t", window=5)
    after = change.applied_to(before)
    assert (after.task, after.window, after.batch) == ("t", 5, 10)
    # Tuples for lists: what was registered once compares equal to what is registered again.
    assert (after.topics, after.routes) == (("order.*",), (("order.paid", "t2"),))
    with pytest.raises(InvalidClient, match="client 'c' has no setting 'windw': there are task, bridge, routes, queue"):
        Registration(id="c", given={"windw": 5})


def test_settings_that_contradict_each_other_are_refused_when_they_meet() -> None:
    with pytest.raises(InvalidClient, match="a batch has no keyword arguments"):
        Registration(id="c", given={"batch": 2, "call": "kwargs"})
    change = Registration(id="c", given={"batch": 2})
    with pytest.raises(InvalidClient, match="a batch has no keyword arguments"):
        change.applied_to(ClientSettings(id="c", task="t", call="kwargs"))
    assert (
        Registration(id="c", given={"batch": 1, "call": "kwargs"})
        .applied_to(change.applied_to(ClientSettings(id="c", task="t")))
        .call
        == "kwargs"
    )
