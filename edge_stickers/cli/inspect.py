"""`edge-stickers inspect`: what a bundle, a model folder or a single file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edge_stickers.cli.contents import describe
from edge_stickers.cli.options import TARGETS, json_option, latent_options, latent_shape
from edge_stickers.cli.output import megabytes, print_json, print_table, progress_bar

EXAMPLES = """\b
Examples:
  edge-stickers inspect my-bundle
  edge-stickers inspect my-model --json
  edge-stickers inspect my-bundle/onnx/unet/model.onnx
  edge-stickers inspect --model my-model --target executorch
  edge-stickers inspect my-model --target executorch --picture graph.svg
  edge-stickers inspect animatediff/unet --target coreml --size 32 --frames 16
"""


@click.command("inspect", epilog=EXAMPLES)
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--model", type=click.Path(path_type=Path), help="Model folder, the same as PATH.")
@click.option("--target", type=click.Choice(TARGETS), help="Name each operator that this target would not take.")
@click.option("--picture", type=click.Path(path_type=Path), help="Draw every operator into this SVG file, too.")
@latent_options
@json_option
def command(
    path: Path | None, model: Path | None, target: str | None, picture: Path | None, as_json: bool, **shape: Any
) -> None:
    """Show what PATH holds: a bundle (every checksum is checked), a model folder, or one file of weights.

    With --target, the model is exported, not lowered, and every operator that the target would refuse or run slowly
    is named, with its module, how often it occurs, and what would mend it.
    """
    given = [each for each in (path, model) if each is not None]
    if len(given) != 1:
        raise click.UsageError("expected one of PATH and --model")
    if target is not None:
        _lint(given[0], target, shape, picture, as_json=as_json)
        return
    if any(value is not None for value in (picture, *shape.values())):
        raise click.UsageError("--picture, --frames, --size and --tokens go with --target")
    report = describe(given[0])
    if as_json:
        print_json(report)
        return
    match report["kind"]:
        case "bundle":
            _print_bundle(report)
        case "model":
            _print_model(report)
        case _:
            _print_facts(str(given[0]), {key: value for key, value in report.items() if key != "tensors"})


def _lint(folder: Path, target: str, shape: dict[str, Any], picture: Path | None, *, as_json: bool) -> None:
    """Prints what a target has against a model, and draws it where asked to."""
    from dataclasses import asdict

    from edge_stickers.convert.lint import export_model, lint
    from edge_stickers.convert.picture import draw_graph
    from edge_stickers.media.write import write_atomically

    with progress_bar("exporting"):
        programs = export_model(folder, shape=latent_shape(**shape))
        found = {name: lint(program, target) for name, program in programs.items()}
    if picture is not None:
        write_atomically(picture, draw_graph(programs, target).encode())
    if as_json:
        listed = {name: [asdict(finding) for finding in findings] for name, findings in found.items()}
        print_json({"model": str(folder), "target": target, "components": listed})
        return
    rows = [
        (finding.operator, name, finding.module, finding.count, finding.reason, finding.mend)
        for name, findings in found.items()
        for finding in findings
    ]
    clean = ", ".join(name for name, findings in found.items() if not findings)
    if rows:
        columns = ("operator", "part", "module", "times", "what happens", "what would mend it")
        print_table(f"what {target} has against {folder}", columns, rows)
    if clean:
        click.echo(f"{target} takes every operator of {clean}")


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
