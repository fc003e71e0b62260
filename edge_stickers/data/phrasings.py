"""What people may write for each kind of motion: the tables of `phrasings.toml`, and verbs in other forms."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class PhrasingTable:
    """Sentences with slots; the file says what the slots are.

    Attributes:
        to: Direction → ways to say it after a verb.
        side: Direction → the word for that side.
        train: Family → whole phrasings.
        verbs: Family → commands, which a wrapper of `base`, `third_person` or `gerund` makes a phrasing of.
        base: Wrappers of a command as it stands.
        third_person: Wrappers of its third person.
        gerund: Wrappers of its gerund.
        held_out: Family → phrasings for evaluation alone.
    """

    to: Mapping[str, tuple[str, ...]]
    side: Mapping[str, str]
    train: Mapping[str, tuple[str, ...]]
    verbs: Mapping[str, tuple[str, ...]]
    base: tuple[str, ...]
    third_person: tuple[str, ...]
    gerund: tuple[str, ...]
    held_out: Mapping[str, tuple[str, ...]]


@cache
def phrasing_table() -> PhrasingTable:
    """The table of this package."""
    found = tomllib.loads(files("edge_stickers.data").joinpath("phrasings.toml").read_text(encoding="utf-8"))
    wrappers = found["wrappers"]
    return PhrasingTable(
        to=_tuples(found["to"]),
        side=found["side"],
        train=_tuples(found["train"]),
        verbs=_tuples(found["verbs"]),
        base=tuple(wrappers["base"]),
        third_person=tuple(wrappers["third_person"]),
        gerund=tuple(wrappers["gerund"]),
        held_out=_tuples(found["held_out"]),
    )


def _tuples(lists: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(phrases) for name, phrases in lists.items()}


_DOUBLED = frozenset(
    (
        "bat",
        "chat",
        "drip",
        "flip",
        "flop",
        "get",
        "hop",
        "let",
        "pop",
        "run",
        "shed",
        "shut",
        "sit",
        "skip",
        "sob",
        "spin",
        "step",
        "swim",
        "throb",
        "tip",
        "trip",
    )
)
"""Verbs that double their last letter in the gerund."""


_IRREGULAR = {"be": "is", "have": "has"}
"""Third persons that follow no rule."""


def third_person(verb: str) -> str:
    """From "close its eyes" to "closes its eyes"; a second verb after "and" follows the first."""
    return _inflect(verb, _third)


def gerund(verb: str) -> str:
    """From "close its eyes" to "closing its eyes"; a second verb after "and" follows the first."""
    return _inflect(verb, _gerund)


def _inflect(verb: str, form: Callable[[str], str]) -> str:
    first, _, rest = verb.partition(" ")
    if rest.startswith("and "):
        rest = "and " + _inflect(rest.removeprefix("and "), form)
    return f"{form(first)} {rest}".rstrip()


def _third(word: str) -> str:
    if word in ("do", "go") or word.endswith(("sh", "ch", "s", "x")):
        return word + "es"
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    return word[:-1] + "ies" if word.endswith("y") and word[-2] not in "aeou" else word + "s"


def _gerund(word: str) -> str:
    if word in _DOUBLED:
        return word + word[-1] + "ing"
    if word.endswith("ie"):
        return word[:-2] + "ying"
    return (word if word == "be" else word.removesuffix("e")) + "ing"
