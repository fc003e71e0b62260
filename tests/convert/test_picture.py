"""The picture of a graph has a square for each operator, red where the linter has something against it."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import torch
from torch import nn

from edge_stickers.convert.export import export_component
from edge_stickers.convert.lint import lint
from edge_stickers.convert.picture import CELL, COLOURS, draw_graph
from edge_stickers.models.components import component_modules, component_specs


def squares(svg: str) -> list[tuple[str, str]]:
    """Colour and title of every square that stands for an operator."""
    root = ElementTree.fromstring(svg)
    found = [each for each in root if each.get("width") == str(CELL) and len(each)]
    return [(each.get("fill"), each[0].text) for each in found]


def test_every_operator_is_drawn(tiny_pipeline):
    modules, specs = component_modules(tiny_pipeline), component_specs(tiny_pipeline)
    programs = {name: export_component(modules[name], specs[name]) for name in ("decoder", "text_encoder")}
    drawn = squares(draw_graph(programs, "executorch"))
    calls = [n for program in programs.values() for n in program.graph.nodes if n.op == "call_function"]
    assert len(drawn) == len(calls)
    red = [title for colour, title in drawn if colour == COLOURS["leaves"][0]]
    assert len(red) == sum(f.count for program in programs.values() for f in lint(program, "executorch")) > 0
    assert all("portable kernel" in title for title in red)


def test_what_multiplies_and_what_moves_differ():
    module = nn.Sequential(nn.Conv2d(2, 3, 1), nn.Flatten(), nn.SiLU())
    program = torch.export.export(module, (torch.randn(1, 2, 4, 4),), strict=False)
    colours = [colour for colour, _ in squares(draw_graph({"<unet>": program}, "executorch"))]
    assert colours == [COLOURS[fate][0] for fate in ("multiplies", "moves data", "computes")]
