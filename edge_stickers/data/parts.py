"""Tells eyes, mouths and waving hands apart in a flat drawing, by where shapes lie and how dark they are."""

from __future__ import annotations

from edge_stickers.data.svg import Box, Drawing, Shape

BASE = "base"
EYES = "eyes"
MOUTH = "mouth"
HAND = "hand"

_MOTION_LINES = "#5dadec"
_WAVING_HANDS = frozenset({"1f44b", "270b", "1f590", "1f596", "1f91a"})
# Emoji with one face, by first code point; flags, clothes and machines have look-alikes of eyes.
_FACES = (
    (0x1F31A, 0x1F31E), (0x1F385, 0x1F385), (0x1F400, 0x1F43F), (0x1F466, 0x1F469), (0x1F470, 0x1F482),
    (0x1F4A9, 0x1F4A9), (0x1F600, 0x1F64F), (0x1F910, 0x1F917), (0x1F920, 0x1F92F), (0x1F934, 0x1F937),
    (0x1F970, 0x1F976), (0x1F978, 0x1F97A), (0x1F980, 0x1F9AE), (0x1F9B8, 0x1F9B9), (0x1F9CC, 0x1F9CF),
    (0x1F9D0, 0x1F9DF), (0x1F9F8, 0x1F9F8), (0x1FAC3, 0x1FACF), (0x1FAE0, 0x1FAE8), (0x2603, 0x2603),
    (0x2639, 0x263A), (0x26C4, 0x26C4),
)  # fmt: skip
_PEOPLE = frozenset({"1f466", "1f467", "1f468", "1f469", "1f9d1", "1f9d2"})


def part_names(drawing: Drawing, key: str) -> list[str] | None:
    """The part that each shape belongs to.

    Args:
        drawing: A flat drawing.
        key: The sticker's code points joined by dashes.

    Returns:
        One name a shape, "base" for what does not move by itself; None where no part was found.
    """
    if not drawing.is_flat or len(drawing.shapes) < 2:
        return None
    points = key.lower().split("-")
    if points[0] in _WAVING_HANDS:
        return [BASE if shape.fill.lower() == _MOTION_LINES else HAND for shape in drawing.shapes]
    if not _has_one_face(points):
        return None
    left, top, right, bottom = drawing.view_box
    unit = max(right - left, bottom - top) / 36
    pair = _eye_pair(drawing.shapes, unit)
    if pair is None:
        return None
    names = [BASE] * len(drawing.shapes)
    eyes = [_known(drawing.shapes[i]) for i in pair]
    # Eyes that are lines, wider than high, are shut already: they only tell where the mouth is.
    are_open = all(_size(eye)[0] <= 1.7 * _size(eye)[1] for eye in eyes)
    for i in pair if are_open else ():
        names[i] = EYES
    for i, shape in enumerate(drawing.shapes):
        if are_open and i > min(pair) and shape.box and any(_inside(shape.box, eye, 0.3 * unit) for eye in eyes):
            names[i] = EYES  # Highlights on the eyes go with them.
    mouth = _mouth(drawing.shapes, eyes, names, unit)
    if mouth is not None:
        names[mouth] = MOUTH
        frame = _known(drawing.shapes[mouth])
        for i, shape in enumerate(drawing.shapes):
            # Teeth and tongue; teeth that show through a mouth drawn over them lie within it.
            slack = 0.6 * unit if i > mouth else 0.0
            if names[i] == BASE and shape.box and _inside(shape.box, frame, slack):
                names[i] = MOUTH
    return names if set(names) != {BASE} else None


def _has_one_face(points: list[str]) -> bool:
    try:
        first = int(points[0], 16)
    except ValueError:
        return True  # Not an emoji: the shapes decide.
    is_emoji = any(low <= first <= high for low, high in _FACES)
    return is_emoji and sum(point in _PEOPLE for point in points) <= 1


def _eye_pair(shapes: tuple[Shape, ...], unit: float) -> tuple[int, int] | None:
    best: tuple[float, tuple[int, int]] | None = None
    candidates = [i for i, shape in enumerate(shapes) if shape.box and _is_dark(shape.fill) and _eye_sized(shape, unit)]
    for n, i in enumerate(candidates):
        for j in candidates[n + 1 :]:
            first, second = _known(shapes[i]), _known(shapes[j])
            if shapes[i].fill != shapes[j].fill:
                continue
            (w1, h1), (w2, h2) = _size(first), _size(second)
            alike = abs(w1 - w2) <= 0.15 * max(w1, w2) + 0.2 * unit and abs(h1 - h2) <= 0.15 * max(h1, h2) + 0.2 * unit
            level = abs(first[3] - second[3]) <= 0.8 * unit
            distance = abs(_centre(first)[0] - _centre(second)[0])
            middle = (_centre(first)[0] + _centre(second)[0]) / 2
            apart = max(w1, w2) * 1.3 <= distance <= 20 * unit
            if alike and level and apart and abs(middle - 18 * unit) <= 5 * unit and _centre(first)[1] < 24 * unit:
                # Brows are wider than high, eyes mostly are not.
                score = (w1 * h1 + w2 * h2) * (1.0 if w1 <= 1.15 * h1 else 0.1)
                if best is None or score > best[0]:
                    best = score, (i, j)
    return None if best is None else best[1]


def _mouth(shapes: tuple[Shape, ...], eyes: list[Box], names: list[str], unit: float) -> int | None:
    middle = (_centre(eyes[0])[0] + _centre(eyes[1])[0]) / 2
    apart = abs(_centre(eyes[0])[0] - _centre(eyes[1])[0])
    level = (_centre(eyes[0])[1] + _centre(eyes[1])[1]) / 2
    best: tuple[float, int] | None = None
    for i, shape in enumerate(shapes):
        if names[i] != BASE or shape.box is None or not _is_dark(shape.fill, 0.5):
            continue
        width, height = _size(shape.box)
        centred = abs(_centre(shape.box)[0] - middle) <= 1.5 * unit
        below = shape.box[1] >= max(eye[3] for eye in eyes) - 0.5 * unit
        # Clothes are dark too, but farther from the eyes than a mouth is, or larger.
        near = _centre(shape.box)[1] - level <= 1.5 * apart
        fits = 0.25 * apart <= width <= 2.1 * apart and height <= 1.1 * apart
        if centred and below and near and fits and (best is None or width > best[0]):
            best = width, i
    return None if best is None else best[1]


def _eye_sized(shape: Shape, unit: float) -> bool:
    width, height = _size(_known(shape))
    return 1.2 * unit <= width <= 10 * unit and 1.4 * unit <= height <= 11.5 * unit and width <= 2.7 * height


def _is_dark(fill: str, limit: float = 0.36) -> bool:
    digits = fill.lstrip("#")
    if not fill:
        return True  # SVG's default fill is black.
    if len(digits) == 3:
        digits = "".join(digit * 2 for digit in digits)
    try:
        red, green, blue = (int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4))
    except ValueError:
        return False
    return 0.3 * red + 0.59 * green + 0.11 * blue <= limit


def _inside(inner: Box, outer: Box, slack: float) -> bool:
    return (
        inner[0] >= outer[0] - slack
        and inner[1] >= outer[1] - slack
        and inner[2] <= outer[2] + slack
        and inner[3] <= outer[3] + slack
    )


def _known(shape: Shape) -> Box:
    return shape.box or (0.0, 0.0, 0.0, 0.0)


def _size(box: Box) -> tuple[float, float]:
    return box[2] - box[0], box[3] - box[1]


def _centre(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
