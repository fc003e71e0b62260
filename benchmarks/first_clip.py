"""What every benchmark of a whole clip makes: the first golden case, a real sticker and a real sentence."""

from __future__ import annotations

import numpy as np

from edge_stickers.bundle.golden import CASES
from edge_stickers.bundle.reader import Bundle
from edge_stickers.media import load_still
from edge_stickers.models.tokens import tokenize
from edge_stickers.runtimes.clip import ClipInputs
from edge_stickers.runtimes.reference import STICKERS


def first_clip(bundle: Bundle, steps: int) -> ClipInputs:
    """Inputs of that case in so many steps."""
    case = CASES[0]
    ids, mask = tokenize(bundle.tokenizer(), case.prompt)
    still = load_still(STICKERS / f"{case.name}.svg", size=bundle.manifest.size, margin=bundle.manifest.still_margin)
    return ClipInputs(
        image=still[None],
        input_ids=np.array([ids], np.int64),
        attention_mask=np.array([mask], np.int64),
        rows=bundle.rows(steps),
        seed=case.seed,
        motion_strength=case.motion_strength,
    )
