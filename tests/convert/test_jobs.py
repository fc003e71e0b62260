"""Conversions in processes of their own give what one process gives, and one that dies is an error, not a hang."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import psutil
import pytest

from edge_stickers.convert import jobs
from edge_stickers.convert.jobs import Conversion, convert_all, jobs_for
from edge_stickers.convert.targets import target
from edge_stickers.errors import ConversionError
from edge_stickers.models.components import component_modules, component_specs
from edge_stickers.quantize.recipe import RECIPES


@pytest.fixture
def conversions(tiny_pipeline):
    """The autoencoder's two halves for two targets."""
    modules, specs = component_modules(tiny_pipeline), component_specs(tiny_pipeline)
    return [
        Conversion(target(name), modules[part], specs[part], RECIPES["fp32"])
        for name in ("coreml", "executorch")
        for part in ("image_encoder", "decoder")
    ]


@pytest.mark.slow
def test_processes_make_what_one_process_makes(conversions, tmp_path):
    told = []
    for name, number in (("alone", 1), ("apart", 2)):
        (tmp_path / name).mkdir()
        made = convert_all(conversions, tmp_path / name, jobs=number, on_done=told.append)
        assert [(each.target, each.component) for each in made] == [
            (each.target.name, each.spec.component) for each in conversions
        ]
    alone, apart = (_weights(tmp_path / name) for name in ("alone", "apart"))
    assert alone == apart and len(alone) == 4
    assert all(told.count(each) == 2 for each in conversions)


def _weights(folder):
    """Programs of ExecuTorch and weights of Core ML, whose specification holds names that count up in a process."""
    found = [*folder.rglob("*.pte"), *folder.rglob("weight.bin")]
    return {path.relative_to(folder): path.read_bytes() for path in found}


@pytest.mark.slow
def test_a_process_that_dies_is_an_error(conversions, tmp_path):
    class Deadly:
        """Not importable by the child: it travels whole."""

        name = "deadly"

        def lower(self, module, spec, *, recipe, folder):
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(ConversionError, match="memory"):
        convert_all([replace(each, target=Deadly()) for each in conversions], tmp_path, jobs=2)


def test_processes_fit_memory_and_are_worth_starting(conversions, monkeypatch):
    assert jobs_for(conversions) == 1  # a few thousand parameters
    monkeypatch.setattr(jobs, "WORTH_A_PROCESS", 1)
    assert jobs_for(conversions[:1]) == 1
    free = psutil.virtual_memory()
    for available, most in ((10**13, 4), (5 * 10**9, 2), (10**6, 1)):
        monkeypatch.setattr(psutil, "virtual_memory", lambda left=available: free._replace(available=left))
        monkeypatch.setattr("loky.cpu_count", lambda: 16)
        assert jobs_for(conversions) == most
