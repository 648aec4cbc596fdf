"""One rule of exit codes for all commands (decision 53): 0 done or shown, 1 not done or not there, 2 called wrongly."""

from __future__ import annotations

from collections.abc import Sequence

from tests.command.running import Run
from tests.support.world import World

# What is named has to be there; what is chosen may be nothing. Client `c` has the parked events 1 to 3.
CODES: list[tuple[str, int]] = [
    ("show 1", 0),
    ("show 99", 1),
    ("show 0", 1),
    ("show --key a", 0),
    ("show --key nobody", 1),
    ("show", 2),
    ("show x", 2),
    ("parked c", 0),
    ("parked c --offset 1", 0),
    ("parked c --offset 99", 1),
    ("parked c --key nobody", 0),
    ("parked nobody", 2),
    ("redrive c --offset 99", 1),
    ("redrive c --offset 1 --offset 99", 1),
    ("redrive c --offset 2", 0),
    ("redrive c --key nobody", 0),
    ("redrive c --older-than 1d", 0),
    ("redrive c", 2),
    ("redrive nobody --all", 2),
    ("discard c --yes --offset 99", 1),
    ("discard c --yes --offset 1 --offset 99", 1),
    ("discard c --yes --offset 2", 0),
    ("discard c --yes --offset 99 --reason why", 1),
    ("discard c --yes --key nobody", 0),
    ("discard c --offset 1 --json", 2),
    ("recall c", 0),
    ("recall c --offset 1", 1),
    ("recall c --offset 99", 1),
    ("recall c --key nobody", 0),
    ("recall nobody", 2),
    ("hold", 0),
    ("hold backup --end", 1),
    ("hold backup --from 2 --for 10m", 0),
    ("hold backup --end --json", 0),
    ("hold backup", 2),
    ("hold backup --from 2 --for long", 2),
    ("scheduled", 0),
    ("scheduled --cancel 7", 1),
    ("scheduled --cancel-id x", 1),
    ("journal", 0),
    ("journal c", 0),
    ("journal nobody", 2),
    ("tail", 0),
    ("tail --key nobody", 0),
    ("tail --client nobody", 2),
    ("tail --since 10m", 0),
    ("tail --since soon", 2),
    ("replay c --stop", 0),
    ("replay nobody --stop", 2),
    ("replay c", 2),
    ("audit c", 0),
    ("audit nobody", 2),
    ("explain c --offline", 0),
    ("explain nobody --offline", 2),
    ("status", 0),
    ("status nobody", 2),
    ("health --timeout 0.5", 1),  # no pump has been at work
    ("health --timeout 0.5 --pump-seconds 0 --collector-seconds 0", 0),
    ("doctor --timeout 0.1", 1),
    ("pause c", 0),
    ("pause nobody", 2),
    ("resume c", 0),  # it is active already
    ("release c", 2),
    ("remove nobody --yes", 2),
    ("seek c --to end --yes", 0),
    ("seek c --to 99 --yes", 2),
    ("release c --reason gone", 0),
    ("prune --older-than 90m --dry-run", 0),
    ("prune --older-than soon", 2),
    ("prune", 2),
    ("erase --key nobody --yes", 0),
    ("migrate", 0),
    ("clients", 0),
    ("publish a.b", 0),
    ("publish a..b", 2),
    ("register d --task t", 0),
    ("register e", 2),
    ("resync", 0),
    ("remove c --yes", 0),
    ("about", 0),
    ("about locked", 0),
    ("about nonsense", 2),
    ("nonsense", 2),
]


def ended(run: Run, words: str, *more: str) -> tuple[int, str, str]:
    result = run(*words.split(), *more)
    return result.exit_code, result.stdout, result.stderr


def test_the_exit_code_tells_a_script_what_became_of_a_call(run: Run, parked: World) -> None:
    """All calls run in one world, one after the other."""
    for words, code in CODES:
        found, out, err = ended(run, words)
        assert found == code, (words, out, err)
        assert "Traceback" not in err
        assert err.count("error: ") == (1 if code and not words.startswith(("health", "doctor")) else 0), (words, err)


def test_with_json_what_is_not_there_is_json_and_the_same_exit_code(run: Run, parked: World) -> None:
    for words in (words for words, code in CODES if code == 1 and not words.startswith(("health", "doctor"))):
        found, out, err = ended(run, words, "--json")
        assert (found, err, out[:1] in "{[") == (1, "", True), (words, out)


def test_an_answer_of_no_is_a_failure(run: Run, parked: World) -> None:
    assert run("remove", "c", input="n\n").exit_code == 1


def test_every_command_is_in_the_table() -> None:
    from bridge.command import bridge

    tried: Sequence[str] = [words.split()[0] for words, _ in CODES]
    assert set(bridge.list_commands(None)) - set(tried) == {"demo", "exporter"}  # type: ignore[arg-type]


def test_an_event_that_goes_out_again_already_can_t_be_redriven(run: Run, parked: World) -> None:
    assert run("redrive", "c", "--offset", "1").exit_code == 0
    assert "not redriven: 1 (not parked, or on the way already)" in run("redrive", "c", "--offset", "1").stderr
