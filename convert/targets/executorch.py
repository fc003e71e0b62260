"""ExecuTorch: one `.pte` a component, for one of its backends."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from edge_stickers.convert.export import export_component, layers_in
from edge_stickers.convert.targets.backends import backend, lower_program
from edge_stickers.convert.targets.base import Artifact, Extra, artifact, require_libraries
from edge_stickers.quantize.pt2e import quantize_program
from edge_stickers.quantize.recipe import Precision, Recipe
from edge_stickers.spec import ComponentSpec


@dataclass(frozen=True, slots=True)
class ExecuTorchTarget:
    """Lowers to a backend; what the backend does not take runs on ExecuTorch's portable operators."""

    name: str = "executorch"
    extra: str = "executorch"
    needs: tuple[str, ...] = ("executorch", "torchao")
    backend: str = "xnnpack"
    """A key of `edge_stickers.convert.targets.backends.BACKENDS`."""
    extras: tuple[Extra, ...] = ()
    """What to keep beside each program."""

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """The backend's own."""
        return backend(self.backend).precisions

    def lower(self, module: nn.Module, spec: ComponentSpec, *, recipe: Recipe, folder: Path) -> Artifact:
        """See `Target.lower`."""
        require_libraries(self)
        start, chosen = time.perf_counter(), backend(self.backend)
        prepared = chosen.passes(export_component(module, spec))
        layers = layers_in(prepared, spec.component)
        program = quantize_program(prepared, recipe, spec.component)
        lowered = lower_program(program, spec.component, chosen, recipe.otherwise, extras=self.extras)
        entry = folder / self.name / f"{spec.component}_{self.backend}_{recipe.name}.pte"
        entry.parent.mkdir(exist_ok=True)
        entry.write_bytes(lowered.data)
        beside = []
        if lowered.etrecord is not None:
            beside.append(entry.with_suffix(".etrecord"))
            beside[-1].write_bytes(lowered.etrecord)
        if lowered.picture is not None:
            beside.append(entry.with_suffix(".svg"))
            beside[-1].write_text(lowered.picture, encoding="utf-8")
        return artifact(
            self,
            spec,
            recipe=recipe,
            entry=entry,
            beside=beside,
            folder=folder,
            started=start,
            delegate_calls=lowered.delegate_calls,
            undelegated=lowered.undelegated,
            layers=layers,
        )
