"""A model's graph as one picture: a square an operator, a row a module, coloured by what becomes of it.

Before lowering, by what a target's legality table says of it; after lowering, by the delegate that has it.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram

from edge_stickers.convert.legality import CHECKS, Objection, constants, module_of, operator_name

CELL, GAP, PER_LINE, LABEL = 9, 2, 72, 330
"""Pixels of a square, between squares, squares in a line, and pixels left of them for the module's name."""
DEPTH = 5
"""Parts of a module's path, such as `unet.down_blocks.0.attentions.0`, that make a row."""
COLOURS = {
    "multiplies": ("#1f6feb", "convolutions and matrix products"),
    "computes": ("#58a6ff", "other arithmetic"),
    "moves data": ("#c9d1d9", "views, copies, permutations"),
    "is computed ahead": ("#eaeef2", "constants"),
    "leaves": ("#d1242f", "left to slow kernels, or refused"),
}
DELEGATES = ("#1f6feb", "#54aeff", "#8250df", "#bf87ff", "#1a7f37", "#4ac26b")
"""Of one delegate after the other; the seventh looks like the first."""
_MOVES = (
    *("view", "reshape", "flatten", "squeeze", "unsqueeze", "permute", "transpose", "t", "expand", "repeat"),
    *("slice", "select", "cat", "split", "chunk", "unbind", "getitem", "pad"),
    *("clone", "contiguous", "to", "alias", "detach"),
)
_MULTIPLIES = ("conv", "linear", "mm", "matmul", "attention")


def draw_graph(programs: Mapping[str, ExportedProgram], target: str) -> str:
    """Draws exported programs as SVG.

    Args:
        programs: by component, from `export_component`.
        target: a key of `edge_stickers.convert.legality.CHECKS`.

    Returns:
        An SVG document without scripts; hovering over a square names its operator, shape and fate.
    """
    check = CHECKS[target]
    svg = _page(f"what {target} does with each operator, before its passes")
    top = _legend(svg, COLOURS.values())
    for name, program in programs.items():
        top = _text(svg, 10, top + 26, name, size=14, weight="600")
        ahead = constants(program)
        calls = [node for node in program.graph.nodes if node.op == "call_function"]
        for module, nodes in groupby(calls, key=_group):
            fates = [(node, *_fate(node, node in ahead, check(node, ahead))) for node in nodes]
            top = _row(svg, top, module, [(node, COLOURS[fate][0], f"{fate}{why}") for node, fate, why in fates])
    return _finished(svg, top)


def draw_delegates(title: str, module: fx.GraphModule) -> str:
    """Draws what lowering to ExecuTorch made of a graph, as SVG.

    Args:
        title: of the picture.
        module: in the edge dialect, partitioned: its delegates' own graphs are drawn, one after the other.

    Returns:
        An SVG document; hovering over a square names its operator, shape and delegate.
    """
    svg = _page(title)
    pieces = _pieces(module)
    inside = [(colour, name) for name, colour, _ in pieces if name]
    top = _legend(svg, [*inside[:3], (COLOURS["leaves"][0], "left to portable kernels")])
    for name, colour, calls in pieces:
        top = _text(svg, 10, top + 26, f"{name or 'outside'}: {len(calls)} operators", size=14, weight="600")
        for path, nodes in groupby(calls, key=_group):
            top = _row(svg, top, path, [(node, colour, name or "left to a portable kernel") for node in nodes])
    return _finished(svg, top)


def _pieces(module: fx.GraphModule) -> list[tuple[str, str, list[fx.Node]]]:
    """Delegates, and what lies between them, in the order in which they run: name, colour and operators of each."""
    pieces: list[tuple[str, str, list[fx.Node]]] = []
    count = 0
    for node in module.graph.nodes:
        if node.op != "call_function" or operator_name(node) == "getitem":
            continue
        if operator_name(node) == "executorch_call_delegate":
            lowered: Any = getattr(module, str(node.all_input_nodes[0].target))
            calls = [each for each in lowered.original_module.graph.nodes if each.op == "call_function"]
            pieces.append((f"delegate {count + 1}", DELEGATES[count % len(DELEGATES)], calls))
            count += 1
        elif pieces and not pieces[-1][0]:
            pieces[-1][2].append(node)
        else:
            pieces.append(("", COLOURS["leaves"][0], [node]))
    return pieces


def _group(node: fx.Node) -> str:
    """The module of a node, no deeper than a row has use for."""
    return ".".join(module_of(node).split(".")[:DEPTH])


def _fate(node: fx.Node, ahead: bool, objection: Objection | None) -> tuple[str, str]:
    """A key of `COLOURS`, and why."""
    if ahead:
        return "is computed ahead", ""
    if objection is not None:
        return "leaves", f": {objection.reason}"
    name = operator_name(node).removeprefix("aten.").split(".")[0]
    if any(part in name for part in _MULTIPLIES):
        return "multiplies", ""
    return ("moves data" if name.rstrip("_").split("_")[0] in _MOVES else "computes"), ""


def _row(svg: ElementTree.Element, top: int, module: str, nodes: Sequence[tuple[fx.Node, str, str]]) -> int:
    """One module's operators, each with its colour and what is said of it; returns where the next row begins."""
    _text(svg, 10, top + CELL, module if len(module) < 52 else "…" + module[-50:])
    for index, (node, colour, said) in enumerate(nodes):
        line, column = divmod(index, PER_LINE)
        place = {"x": str(LABEL + column * (CELL + GAP)), "y": str(top + line * (CELL + GAP))}
        square = ElementTree.SubElement(svg, "rect", place, width=str(CELL), height=str(CELL), fill=colour)
        value = node.meta.get("val")
        shape = f" {tuple(value.shape)}" if isinstance(value, torch.Tensor) else ""
        ElementTree.SubElement(square, "title").text = f"{operator_name(node)}{shape} {said}"
    return top + (-(-len(nodes) // PER_LINE)) * (CELL + GAP) + 3


def _page(title: str) -> ElementTree.Element:
    svg = ElementTree.Element("svg", xmlns="http://www.w3.org/2000/svg", style="font-family: sans-serif")
    ElementTree.SubElement(svg, "rect", width="100%", height="100%", fill="#ffffff")
    _text(svg, 10, 24, title, size=16, weight="600")
    return svg


def _finished(svg: ElementTree.Element, height: int) -> str:
    svg.set("width", str(LABEL + PER_LINE * (CELL + GAP) + 20))
    svg.set("height", str(height + 20))
    return ElementTree.tostring(svg, encoding="unicode") + "\n"


def _legend(svg: ElementTree.Element, colours: Iterable[tuple[str, str]]) -> int:
    for index, (colour, meaning) in enumerate(colours):
        x = 10 + index * 222
        ElementTree.SubElement(svg, "rect", x=str(x), y="38", width=str(CELL), height=str(CELL), fill=colour)
        _text(svg, x + CELL + 5, 47, meaning)
    return 50


def _text(svg: ElementTree.Element, x: int, y: int, text: str, *, size: int = 11, weight: str = "400") -> int:
    placed = {"x": str(x), "y": str(y), "font-size": str(size), "font-weight": weight, "fill": "#1f2328"}
    ElementTree.SubElement(svg, "text", placed).text = text
    return y + 8
