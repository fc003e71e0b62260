"""Flat SVG drawings as a list of shapes with their boxes, so that layers can be told apart.

Only what flat sticker art needs is read: paths, circles, ellipses and groups. A compound path is cut into
sub-paths that can be drawn apart.
"""

from __future__ import annotations

import itertools
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass

from edge_stickers.errors import InputError

SVG_NAMESPACE = "http://www.w3.org/2000/svg"
Box = tuple[float, float, float, float]

_COMMAND = re.compile(r"([MmZzLlHhVvCcSsQqTtAa])([^MmZzLlHhVvCcSsQqTtAa]*)")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_ARGUMENTS = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "S": 4, "Q": 4, "T": 2, "A": 7, "Z": 0}
# What could load something from outside, or run.
_FORBIDDEN = frozenset({"image", "feImage", "script", "foreignObject", "use", "style", "text"})


@dataclass(frozen=True, slots=True)
class Shape:
    """One thing drawn.

    Attributes:
        markup: SVG text of it alone, paint inherited from its groups included.
        fill: The colour as written, "" where none is.
        box: Left, top, right, bottom in the drawing's units, or None where it is not known.
        whole: SVG text of the element that it is a piece of; equal to `markup` where it is not a piece.
        pieces: Into how many shapes that element was cut.
    """

    markup: str
    fill: str
    box: Box | None
    whole: str
    pieces: int = 1


@dataclass(frozen=True, slots=True)
class Drawing:
    """A parsed SVG: shapes in painting order over one view box, and definitions that all of them may use."""

    view_box: Box
    definitions: str
    shapes: tuple[Shape, ...]
    is_flat: bool

    def markup(self, shapes: tuple[Shape, ...] | None = None) -> str:
        """SVG text of some of the shapes, in the order given; all of them by default."""
        left, top, right, bottom = self.view_box
        body = ""
        # Pieces that are all there go back together: a path cut in two may differ by a shade at its edge.
        for whole, group in itertools.groupby(self.shapes if shapes is None else shapes, key=lambda s: s.whole):
            pieces = list(group)
            body += whole if len(pieces) == pieces[0].pieces else "".join(piece.markup for piece in pieces)
        box = f"{left:g} {top:g} {right - left:g} {bottom - top:g}"
        return f'<svg xmlns="{SVG_NAMESPACE}" viewBox="{box}">{self.definitions}{body}</svg>'


def parse_xml(text: str) -> ElementTree.Element:
    """Parses SVG text; whatever could read a file or expand without end is refused or dropped.

    Raises:
        InputError: It is no SVG, or it declares a document type or entities.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        # Editors write a harmless document type; one without entities can go.
        text = re.sub(r"<!DOCTYPE[^>\[]*>", "", text)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise InputError("the SVG declares entities, which are not read: save it as plain SVG")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InputError(f"not an SVG ({error}): expected well-formed SVG text") from error
    if _tag(root) != "svg":
        raise InputError(f"not an SVG: the outermost element is <{_tag(root)}>, expected <svg>")
    return root


def drop_external(root: ElementTree.Element) -> None:
    """Removes, in place, the elements and links through which a renderer could open another file."""
    for parent in list(root.iter()):
        for child in list(parent):
            if _tag(child) in {"image", "feImage", "script", "foreignObject"}:
                parent.remove(child)
        for name, value in list(parent.attrib.items()):
            outside = name.rpartition("}")[2] == "href" and not value.startswith("#")
            if outside or re.search(r"url\(\s*['\"]?(?!\s*['\"]?#)", value):
                del parent.attrib[name]
        if _tag(parent) == "style" and parent.text and re.search(r"@import|url\(", parent.text):
            parent.text = ""


def parse_drawing(text: str) -> Drawing:
    """Reads a drawing shape by shape.

    Args:
        text: SVG text.

    Returns:
        The drawing; `is_flat` is False where shapes drawn apart would not add up to the whole.

    Raises:
        InputError: It is no SVG.
    """
    root = parse_xml(text)
    drop_external(root)
    definitions, shapes, is_flat = "", [], True
    for element in root:
        if _tag(element) in {"defs", "clipPath"}:
            definitions += _text_of(element)
            continue
        if not isinstance(element.tag, str) or _tag(element) in {"title", "desc", "metadata"}:
            continue
        is_flat = is_flat and _tag(element) not in _FORBIDDEN
        shapes.extend(_shapes(element, {}))
    view_box = _view_box(root)
    inherited = set(root.attrib) & {"fill", "opacity", "transform", "style", "clip-path", "mask", "filter", "stroke"}
    return Drawing(view_box, definitions, tuple(shapes), is_flat and not inherited)


def split_path(data: str) -> list[tuple[str, Box]]:
    """Cuts path data into sub-paths, each starting with an absolute move, each with its box.

    Args:
        data: The `d` attribute of a path.

    Returns:
        (path data, box) of each sub-path. Boxes hold all control points, so they may be a little large.
    """
    parts: list[tuple[str, Box]] = []
    x = y = start_x = start_y = 0.0
    text, points = "", list[tuple[float, float]]()
    for command, values in _commands(data):
        relative = command.islower()
        if command in "Mm":
            if points:
                parts.append((text, _box(points)))
            x, y = (x + values[0], y + values[1]) if relative else (values[0], values[1])
            start_x, start_y, text, points = x, y, f"M{x:.6g} {y:.6g}", [(x, y)]
            continue
        if not text:  # A close may be followed by a draw without a move.
            text, points = f"M{x:.6g} {y:.6g}", [(x, y)]
        text += command + " ".join(f"{value:.6g}" for value in values)
        if command in "Zz":
            x, y = start_x, start_y
            continue
        base_x, base_y = (x, y) if relative else (0.0, 0.0)
        if command in "Hh":
            x = base_x + values[0]
        elif command in "Vv":
            y = base_y + values[0]
        else:
            if command in "Aa":
                end = base_x + values[5], base_y + values[6]
                radius = max(values[0], values[1])
                points.extend(_arc_extreme((x, y), end, radius, large=bool(values[3]), sweep=bool(values[4])))
            else:
                points.extend((base_x + values[i], base_y + values[i + 1]) for i in range(0, len(values) - 2, 2))
            x, y = base_x + values[-2], base_y + values[-1]
        points.append((x, y))
    if points:
        parts.append((text, _box(points)))
    return parts


def overlap(first: Box, second: Box) -> bool:
    """Whether two boxes share any area."""
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]


def _commands(data: str) -> Iterator[tuple[str, list[float]]]:
    for letter, arguments in _COMMAND.findall(data):
        size = _ARGUMENTS[letter.upper()]
        if size == 0:
            yield letter, []
            continue
        numbers = _arc_numbers(arguments) if letter in "Aa" else [float(n) for n in _NUMBER.findall(arguments)]
        for i in range(0, len(numbers) - size + 1, size):
            # Further pairs after a move are lines.
            command = letter if i == 0 or letter not in "Mm" else ("l" if letter == "m" else "L")
            yield command, numbers[i : i + size]


def _arc_numbers(text: str) -> list[float]:
    """Numbers of arc commands, whose two flags may be written without a space after them."""
    numbers: list[float] = []
    position = 0
    while match := re.compile(r"[\s,]*").match(text, position):
        position = match.end()
        if position >= len(text):
            break
        if len(numbers) % 7 in (3, 4):
            numbers.append(float(text[position]))
            position += 1
            continue
        number = _NUMBER.match(text, position)
        if number is None:
            break
        numbers.append(float(number.group()))
        position = number.end()
    return numbers


def _arc_extreme(
    start: tuple[float, float], end: tuple[float, float], radius: float, *, large: bool, sweep: bool
) -> list[tuple[float, float]]:
    """The point of an arc farthest from its chord, as if it were of a circle."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    chord = math.hypot(dx, dy)
    if chord == 0.0:
        return []
    height = math.sqrt(max(radius**2 - chord**2 / 4, 0.0))
    sag = radius + height if large else max(radius, chord / 2) - height
    side = sag / chord * (-1 if sweep else 1)  # With y down, a sweep goes clockwise on the screen.
    return [((start[0] + end[0]) / 2 - dy * side, (start[1] + end[1]) / 2 + dx * side)]


def _shapes(element: ElementTree.Element, inherited: dict[str, str]) -> list[Shape]:
    tag = _tag(element)
    if tag == "g" and set(element.attrib) <= {"fill", "id", "class"}:
        paint = inherited | {name: value for name, value in element.attrib.items() if name == "fill"}
        return [shape for child in element for shape in _shapes(child, paint)]
    attributes = inherited | dict(element.attrib)
    fill = attributes.get("fill", "")
    whole = _text_of(element, attributes)
    plain = not set(attributes) - {"fill", "d", "cx", "cy", "r", "rx", "ry", "id", "class"}
    if tag == "path" and plain:
        pieces = split_path(attributes.get("d", ""))
        separable = len(pieces) > 1 and not any(
            overlap(first[1], second[1]) for i, first in enumerate(pieces) for second in pieces[:i]
        )
        if separable:
            texts = [_text_of(element, attributes | {"d": data}) for data, _ in pieces]
            return [Shape(text, fill, box, whole, len(pieces)) for text, (_, box) in zip(texts, pieces, strict=True)]
        box = _box([corner for _, b in pieces for corner in (b[:2], b[2:])]) if pieces else None
        return [Shape(whole, fill, box, whole)]
    box = None
    if tag in {"circle", "ellipse"} and plain:
        cx, cy, r = (float(attributes.get(name, 0)) for name in ("cx", "cy", "r"))
        rx, ry = float(attributes.get("rx", r)), float(attributes.get("ry", r))
        box = cx - rx, cy - ry, cx + rx, cy + ry
    return [Shape(whole, fill, box, whole)]


def _view_box(root: ElementTree.Element) -> Box:
    numbers = [float(n) for n in _NUMBER.findall(root.get("viewBox", ""))]
    if len(numbers) == 4:
        left, top, width, height = numbers
    else:
        sides = [_NUMBER.match(root.get(name, "")) for name in ("width", "height")]
        width, height = (float(side.group()) if side else 100.0 for side in sides)
        left = top = 0.0
    return left, top, left + width, top + height


def _box(points: list[tuple[float, float]]) -> Box:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), min(ys), max(xs), max(ys)


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _text_of(element: ElementTree.Element, attributes: dict[str, str] | None = None) -> str:
    copy = element if attributes is None else ElementTree.Element(element.tag, attributes)
    if attributes is not None:
        copy.extend(list(element))
    text = ElementTree.tostring(copy, encoding="unicode")
    return text.replace("ns0:", "").replace("xmlns:ns0=", "xmlns=")
