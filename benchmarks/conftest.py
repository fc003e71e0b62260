"""Options and fixtures of the benchmarks: a bundle, its runtimes, and the table at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from benchmarks.alternation import Alternation, Row, record
from edge_stickers.bundle.reader import Bundle

TABLES: pytest.StashKey[dict[str, Sequence[Row]]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--bundle", type=Path, help="bundle with executorch and onnx targets; one is built where not given"
    )
    parser.addoption("--record", type=Path, help="JSON file for the figures")
    parser.addoption("--rounds", type=int, default=20, help="rounds of every comparison")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TABLES] = {}


@pytest.fixture(scope="session")
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    given = request.config.getoption("--bundle")
    if given is None:
        from edge_stickers.build import build

        given = tmp_path_factory.mktemp("bundle") / "bundle"
        build(None, ["executorch", "onnx"], given)
    return Bundle.open(given)


@pytest.fixture(scope="session")
def int8_bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """Bundles for ExecuTorch and ONNX Runtime by recipe, of those that round to int8."""
    from edge_stickers.build import build
    from edge_stickers.convert.cache import ConversionCache

    made = {}
    for name in ("int8", "int8-dynamic"):
        folder = tmp_path_factory.mktemp("bundle") / name
        build(None, ["executorch", "onnx"], folder, recipe=name, cache=ConversionCache())
        made[name] = Bundle.open(folder)
    return made


@pytest.fixture(scope="session")
def openvino_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The recipe `int8` in ONNX, but for the modulation: OpenVINO 2026.4 fails to load its linear layers in w8a16."""
    from edge_stickers.build import build
    from edge_stickers.convert.cache import ConversionCache
    from edge_stickers.quantize.recipe import RECIPES, Rule

    rules = (Rule(layers="unet/*.modulation", precision="float"), *RECIPES["int8"].rules)
    folder = tmp_path_factory.mktemp("bundle") / "openvino"
    recipe = RECIPES["int8"].model_copy(update={"name": "int8-openvino", "rules": rules})
    build(None, ["onnx"], folder, recipe=recipe, cache=ConversionCache())
    return Bundle.open(folder)


@pytest.fixture
def compare(request: pytest.FixtureRequest, benchmark) -> Iterator[object]:  # noqa: ANN001 - of a plugin
    """Times contenders in alternation and keeps the rows for the table."""

    def run(title: str, alternation: Alternation, *, rates: Mapping[str, float] | None) -> list[Row]:
        alternation.warm_up()
        benchmark.pedantic(alternation.round, rounds=request.config.getoption("--rounds"))
        rows = alternation.rows(rates)
        request.config.stash[TABLES][title] = rows
        for row in rows:
            benchmark.extra_info[row.name] = {"median_ms": row.median_ms, "ratio": row.ratio, "share": row.share}
        return rows

    return run  # type: ignore[return-value]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    tables = config.stash[TABLES]
    for title, rows in tables.items():
        terminalreporter.write_line("")
        terminalreporter.write_line(f"| {title} | median ms (p10 to p90) | ratio (95 % interval) | share of the rate |")
        terminalreporter.write_line("| --- | --- | --- | --- |")
        for row in rows:
            share = "" if row.share is None else f"{row.share:.0%}"
            terminalreporter.write_line(
                f"| {row.name} | {row.median_ms:.1f} ({row.p10_ms:.1f} to {row.p90_ms:.1f}) "
                f"| {row.ratio:.2f} ({row.ratio_low:.2f} to {row.ratio_high:.2f}) | {share} |"
            )
    path = config.getoption("--record")
    if path is not None and tables:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(record(tables) + "\n")
