"""Sentences say what happens, and only that."""

from __future__ import annotations

import numpy as np
import pytest

from edge_stickers.data.captions import MAX_WORDS, SPEED_WORDS, STRONG_WORDS, WEAK_WORDS, caption
from edge_stickers.data.families import FAMILIES, Motion
from edge_stickers.data.phrasings import gerund, phrasing_table, third_person

TABLE = phrasing_table()
LONG = "kiss woman woman medium light skin tone medium dark skin tone and a very long name that goes on"


@pytest.mark.parametrize("family", FAMILIES)
def test_there_are_enough_phrasings(family: str) -> None:
    assert len(set(TABLE.train[family])) >= 12
    assert len(set(TABLE.held_out[family])) >= 4
    assert not set(TABLE.train[family]) & set(TABLE.held_out[family])


def _stripped(text: str) -> str:
    return text.lower().rstrip(".")


@pytest.mark.parametrize("family", FAMILIES)
def test_no_training_sentence_is_a_held_out_one(family: str) -> None:
    """Nor by chance, as a verb in a wrapper that makes a held-out phrasing of it."""
    entry = FAMILIES[family]
    for direction in entry.directions or (None,):
        motion = Motion(family, direction, 0.5)
        told = {name: set() for name in ("train", "held_out")}
        for phrasings, texts in told.items():
            rng = np.random.default_rng(4)
            texts |= {_stripped(caption(motion, "cat", rng, phrasings)) for _ in range(600)}  # type: ignore[arg-type]
        assert not told["train"] & told["held_out"]
        assert len(told["train"]) > 40


def test_verbs_take_their_forms() -> None:
    verbs = ("close its eyes", "grow and shrink", "hop", "go {to}", "fly {to}", "say something", "cry", "lie down",
             "be in love", "sob")  # fmt: skip
    assert [third_person(verb) for verb in verbs] == [
        "closes its eyes", "grows and shrinks", "hops", "goes {to}", "flies {to}", "says something", "cries",
        "lies down", "is in love", "sobs",
    ]  # fmt: skip
    assert [gerund(verb) for verb in verbs] == [
        "closing its eyes", "growing and shrinking", "hopping", "going {to}", "flying {to}", "saying something",
        "crying", "lying down", "being in love", "sobbing",
    ]  # fmt: skip


@pytest.mark.parametrize("phrasings", ["train", "held_out"])
@pytest.mark.parametrize("family", FAMILIES)
def test_direction_speed_and_length(family: str, phrasings: str) -> None:
    rng = np.random.default_rng(1)
    entry = FAMILIES[family]
    for direction in entry.directions or (None,):
        for cycles in range(1, entry.max_cycles + 1):
            for name in ("dog face", LONG, "fast forward button"):
                for _ in range(20):
                    motion = Motion(family, direction, 0.5, cycles)
                    text = caption(motion, name, rng, phrasings).lower()  # type: ignore[arg-type]
                    words = text.rstrip(".").split()
                    assert 1 <= len(words) <= MAX_WORDS
                    assert "{" not in text
                    assert any(word in text for word in SPEED_WORDS) == (cycles == 2), text
                    if direction:
                        assert any(f" {to}" in f" {text}" for to in (*TABLE.to[direction], direction.split("-")[0])), (
                            text
                        )


@pytest.mark.parametrize(
    "phrases", [TABLE.train["spin"] + TABLE.held_out["spin"], TABLE.train["travel"] + TABLE.held_out["travel"]]
)
def test_every_phrasing_has_room_for_the_direction(phrases: tuple[str, ...]) -> None:
    assert all("{to}" in phrase for phrase in phrases)


def test_strength_words_fit_the_amplitude() -> None:
    rng = np.random.default_rng(2)

    def said(amplitude: float) -> str:
        return " ".join(caption(Motion("hop", amplitude=amplitude), "cat", rng) for _ in range(200))

    assert any(word in said(0.25) for word in WEAK_WORDS) and not any(word in said(0.25) for word in STRONG_WORDS)
    assert any(word in said(0.9) for word in STRONG_WORDS) and not any(word in said(0.9) for word in WEAK_WORDS)


def test_the_name_is_mostly_there() -> None:
    rng = np.random.default_rng(3)
    texts = [caption(Motion("sway"), "red apple", rng) for _ in range(300)]
    named = sum("red apple" in text.lower() for text in texts)
    assert 100 < named < 270
    assert len(set(texts)) > 60


def test_same_chance_same_sentence() -> None:
    motion = Motion("spin", "clockwise", cycles=2)
    first, second = (caption(motion, "cat", np.random.default_rng(5)) for _ in range(2))
    assert first == second
