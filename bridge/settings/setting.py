"""A setting: its kind, default, range and help text, as the fields of a dataclass tell them.

::

    window: Annotated[int, About("Most deliveries that are open at once.", least=1)] = 1000
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from bridge.settings.headers import entries_of, problem_of_headers
from bridge.topics import TOPIC_PATTERN

Kind = Literal["text", "switch", "whole number", "number", "choice", "patterns", "routes", "headers"]

KINDS: Mapping[object, Kind] = {
    str: "text",
    bool: "switch",
    int: "whole number",
    float: "number",
    tuple[str, ...]: "patterns",
    tuple[tuple[str, str], ...]: "routes",
}
MOST = 2_000_000_000  # of any number: Postgres' integer ends just above
PATTERN_GRAMMAR = "dotted words, '*' for exactly one word, '#' for any number of words, as in 'order.*' or 'order.#'"
SWITCH_WORDS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


@dataclass(frozen=True, slots=True)
class About:
    """What an annotation tells of a setting beside its type.

    Attributes:
        help: One or two sentences for `--help` and the docs; units are named.
        least: The least number that is allowed.
        above: The number that must be exceeded, instead of `least`.
        most: The greatest number that is allowed.
        read: What reads a text that is not empty, such as an age; it raises `ValueError` with what it must be.
        kind: Where the type does not tell it.
    """

    help: str
    least: float = 0
    above: float | None = None
    most: float = MOST
    read: Callable[[str], object] | None = None
    kind: Kind | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting.

    Attributes:
        kind: `text`, `switch` (bool), `whole number` (int), `number` (float), `choice` (one of `choices`),
            `patterns` (a tuple of topic patterns), `routes` (a tuple of pairs of topic pattern and task name), or
            `headers` (a tuple of message headers).
        default: None where it must be given.
        help: One or two sentences for `--help` and the docs.
        choices: What a choice may be; empty for any other kind.
        least: The least number that is allowed.
        above: The number that must be exceeded; None where `least` says it.
        most: The greatest number that is allowed.
        read: What reads a text that is not empty; None where any text is right.
    """

    name: str
    kind: Kind
    default: Any
    help: str
    choices: tuple[str, ...]
    least: float
    above: float | None
    most: float
    read: Callable[[str], object] | None = None

    def problem(self, value: object) -> str:
        """Return what is wrong with a value, such as `must be text, not empty`; nothing if it is right."""
        match self.kind:
            case "text":
                # Only a setting that is empty by default may be emptied.
                right = isinstance(value, str) and (value or self.default == "")
                return self._problem_of_text(value) if right else "must be text, not empty"
            case "switch":
                return "" if isinstance(value, bool) else "must be true or false"
            case "choice":
                return "" if value in self.choices else f"must be one of {', '.join(self.choices)}"
            case "patterns":
                return _problem_of_patterns(value)
            case "routes":
                return _problem_of_routes(value)
            case "headers":
                return problem_of_headers(value)
            case "number" | "whole number":
                return self._problem_of_number(value)

    def frozen(self, value: Any) -> Any:
        """Return a right value with tuples for lists, so that equal settings compare equal."""
        if self.kind == "headers":
            return entries_of(value)
        if self.kind == "patterns":
            return tuple(value)
        if self.kind == "routes":
            return tuple((pattern, task) for pattern, task in value)
        return value

    def from_text(self, text: str) -> Any:
        """Read a switch, a number or a text from a configuration.

        Raises:
            ValueError: it is no such thing; the message says what it must be.
        """
        try:
            match self.kind:
                case "switch":
                    return SWITCH_WORDS[text.lower()]
                case "whole number":
                    return int(text)
                case "number":
                    return float(text)
        except (KeyError, ValueError):
            wanted = "true or false" if self.kind == "switch" else f"a {self.kind} such as {self.default}"
            raise ValueError(f"must be {wanted}") from None
        return text

    def _problem_of_text(self, value: object) -> str:
        try:
            if self.read and value:
                self.read(str(value))
        except ValueError as error:
            return str(error)
        return ""

    def _problem_of_number(self, value: object) -> str:
        kinds = int if self.kind == "whole number" else int | float
        is_number = isinstance(value, kinds) and not isinstance(value, bool)  # a bool is an int to Python
        if self.above is None:
            if is_number and self.least <= value <= self.most:  # type: ignore[operator]
                return ""
            return f"must be a {self.kind} from {self.least} to {self.most}"
        if is_number and self.above < value <= self.most:  # type: ignore[operator]
            return ""
        return f"must be a {self.kind} above {self.above}, at most {self.most}"


def settings_of(owner: type[Any]) -> Mapping[str, Setting]:
    """Read the settings of a dataclass: its fields that are annotated with `About`, by name and in order."""
    hints = get_type_hints(owner, include_extras=True)
    found: dict[str, Setting] = {}
    for field in fields(owner):
        hint = hints[field.name]
        if get_origin(hint) is not Annotated:
            continue
        kind, about = get_args(hint)
        choices = get_args(kind) if get_origin(kind) is Literal else ()
        found[field.name] = Setting(
            name=field.name,
            kind=about.kind or ("choice" if choices else KINDS[kind]),
            default=None if field.default is MISSING else field.default,
            help=about.help,
            choices=choices,
            least=about.least,
            above=about.above,
            most=about.most,
            read=about.read,
        )
    return MappingProxyType(found)


def _problem_of_patterns(value: object) -> str:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        return "must be a list of patterns such as 'order.*' or '#'"
    for pattern in value:
        if not isinstance(pattern, str) or not TOPIC_PATTERN.fullmatch(pattern):
            return f"topic pattern {pattern!r} is malformed: {PATTERN_GRAMMAR}"
    return ""


def _problem_of_routes(value: object) -> str:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return "must be a list of pairs of topic pattern and task name"
    for pair in value:
        match pair:
            case [str() as pattern, str() as task] if task:
                if problem := _problem_of_patterns([pattern]):
                    return problem
            case _:
                return f"{pair!r} is not a pair of topic pattern and task name"
    return ""
