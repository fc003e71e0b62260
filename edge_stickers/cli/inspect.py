"""`edge-stickers inspect`: what a bundle, a model folder or a single file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edge_stickers.cli.contents import describe
from edge_stickers.cli.options import json_option
from edge_stickers.cli.output import megabytes, print_json, print_table

EXAMPLES = """\b
Examples:
  edge-stickers inspect my-bundle
  edge-stickers inspect my-model --json
  edge-stickers inspect my-bundle/onnx/unet/model.onnx
"""


@click.command("inspect", epilog=EXAMPLES)
@click.argument("path", type=click.Path(path_type=Path))
@json_option
def command(path: Path, as_json: bool) -> None:
    """Show what PATH holds: a bundle (every checksum is checked), a model folder, or one file of weights."""
    report = describe(path)
    if as_json:
        print_json(report)
        return
    match report["kind"]:
        case "bundle":
            _print_bundle(report)
        case "model":
            _print_model(report)
        case _:
            _print_facts(str(path), {key: value for key, value in report.items() if key != "tensors"})


def _print_bundle(report: dict[str, Any]) -> None:
    sampling, size = report["sampling"], report["size"]
    facts = {
        "clip": f"{report['frames']} frames of {size}x{size}, {report['frame_duration_ms']} ms each",
        "steps": f"{', '.join(map(str, sampling['step_counts']))}; {sampling['default_steps']} unless told otherwise",
        "guidance": sampling["guidance"] or "none",
        "size": megabytes(report["bytes"]),
        "checksums": f"{report['checked_files']} files, all intact",
        "made by": report["created_by"],
    }
    _print_facts(f"bundle {report['path']}", facts)
    rows = [
        (target, name, part["recipe"], part["backend"], megabytes(part["bytes"]), _parity(part), part["status"])
        for target, entry in report["targets"].items()
        for name, part in entry["components"].items()
    ]
    click.echo()
    print_table("components", ("target", "component", "recipe", "backend", "size", "SNR", "status"), rows)
    click.echo()
    print_table("licences", ("what", "licence", "credit"), [tuple(entry.values()) for entry in report["licences"]])


def _parity(part: dict[str, Any]) -> str:
    return f"{part['parity']['snr_db']:.1f} dB" if part["parity"] else "not measured"


def _print_model(report: dict[str, Any]) -> None:
    rows = [
        (name, part["class"], f"{part['parameters']:,}", ", ".join(part["dtypes"]), megabytes(part["bytes"]))
        for name, part in report["components"].items()
    ]
    print_table(f"model {report['path']}", ("component", "class", "parameters", "dtype", "size"), rows)
    for name, part in report["components"].items():
        if part["config"]:
            click.echo()
            _print_facts(name, part["config"])


def _print_facts(title: str, facts: dict[str, Any]) -> None:
    click.echo(title)
    width = max(map(len, facts), default=0)
    for key, value in facts.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
        click.echo(f"  {key:<{width}}  {shown}")
