"""Sentences for motions, as people may write them."""

from __future__ import annotations

import re
from typing import Literal

import numpy as np

from edge_stickers.data.families import FAMILIES, Motion
from edge_stickers.data.phrasings import gerund, phrasing_table, third_person

Phrasings = Literal["train", "held_out"]

MAX_WORDS = 20
WEAK, STRONG = 0.4, 0.75  # Amplitudes below and above are worth a word.
SPEED_WORDS = ("quickly", "fast", "twice", "two times", "rapidly")
WEAK_WORDS = ("a little", "slightly", "gently", "a bit", "softly")
STRONG_WORDS = ("a lot", "wildly", "strongly", "a great deal", "with great energy")
_SKIN_TONE = re.compile(r"\s*(medium )?(light|dark|medium) skin tone")


def caption(motion: Motion, sticker_name: str, rng: np.random.Generator, phrasings: Phrasings = "train") -> str:
    """Says what a motion does, in one short sentence.

    Args:
        motion: What moves.
        sticker_name: Lower-case words for the sticker; now and then it is left out.
        rng: The source of chance.
        phrasings: "held_out" takes the phrasings that are never trained on.

    Returns:
        At most 20 words. A direction is always said where the motion has one; speed is said where it repeats
        within the clip, and only there; strength is said at times.
    """
    table = phrasing_table()
    held_out = phrasings == "held_out"
    phrase = _pick(rng, table.held_out[motion.family]) if held_out else _train_phrase(motion.family, rng)
    direction = motion.direction or ""
    to = _pick(rng, table.to[direction]) if direction else ""
    how = _strength(motion, rng) + _speed(motion, rng)
    slots = {"to": to, "side": table.side.get(direction, "")}
    text = phrase.format(name=_subject(sticker_name, rng), **slots) + how
    if len(text.split()) > MAX_WORDS:
        text = phrase.format(name="it", **slots) + how
    if rng.random() < 0.3:
        text = text[0].upper() + text[1:]
    return text + "." if rng.random() < 0.25 else text


def _train_phrase(family: str, rng: np.random.Generator) -> str:
    """A phrasing of the table, or a verb in one of the ways in which any verb can be put."""
    table = phrasing_table()
    whole = _pick(rng, table.train[family])
    if rng.random() < 0.5:
        return whole
    verb = _pick(rng, table.verbs[family])
    forms = ((table.base, verb), (table.third_person, third_person(verb)), (table.gerund, gerund(verb)))
    wrappers, inflected = forms[int(rng.integers(len(forms)))]
    phrase = _pick(rng, wrappers).replace("{verb}", inflected)
    return whole if phrase in table.held_out[family] else phrase


def _subject(name: str, rng: np.random.Generator) -> str:
    if rng.random() < 0.7:
        name = " ".join(_SKIN_TONE.sub("", name).split())
    # A name that speaks of speed would contradict the sentence.
    if not name or rng.random() < 0.3 or re.search(r"\b(fast|quick|twice|double|two|rapid)", name):
        return _pick(rng, ("it", "the sticker", "this"))
    article = "an" if name[0] in "aeiou" else "a"
    return _pick(rng, (f"the {name}", name, f"the {name}", f"{article} {name}"))


def _strength(motion: Motion, rng: np.random.Generator) -> str:
    if not FAMILIES[motion.family].has_amplitude or FAMILIES[motion.family].kind == "effect" or rng.random() < 0.4:
        return ""
    if motion.amplitude < WEAK:
        return " " + _pick(rng, WEAK_WORDS)
    return " " + _pick(rng, STRONG_WORDS) if motion.amplitude > STRONG else ""


def _speed(motion: Motion, rng: np.random.Generator) -> str:
    return " " + _pick(rng, SPEED_WORDS) if motion.cycles == 2 else ""


def _pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]
