"""XNNPACK's partitioner as our programs need it: one piece where all can be one, int8 only where a recipe says so."""

from __future__ import annotations

from executorch.backends.xnnpack.partition.config.generic_node_configs import GenericNodePartitionerConfig
from executorch.backends.xnnpack.partition.config.xnnpack_config import ConfigPrecisionType
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir.backend.canonical_partitioners.config_partitioner import ConfigerationBasedPartitioner
from executorch.exir.backend.partitioner import PartitionResult
from torch.export import ExportedProgram
from torch.fx.passes.infra.partitioner import Partition


class WholePartitioner(XnnpackPartitioner):
    """Takes a program whole if it takes every operator; else it groups them as its parent does.

    The parent merges groups that overlap in the order of the program, and then finds that they depend on each other:
    with quantised layers that share their input it gives up ("found dependency cycles").
    """

    def __init__(self) -> None:
        super().__init__()
        for name, config in self.target_partitioner_configs.items():
            # An operator between two quantised layers would be taken for a quantised one, and its other operand may
            # not be: XNNPACK refuses to load a sum of both.
            if isinstance(config, GenericNodePartitionerConfig) and "quantize_" not in name:
                config.set_enabled_precision_types([ConfigPrecisionType.FP32])

    def partition(self, exported_program: ExportedProgram) -> PartitionResult:
        """See `Partitioner`; without the parent's advice to let ExecuTorch find out again what is settled already."""
        return ConfigerationBasedPartitioner.partition(self, exported_program)

    def generate_partitions(self, ep: ExportedProgram) -> list[Partition]:
        """See `ConfigerationBasedPartitioner`."""
        matched = {node for group in self.get_matched_nodes_from_configs(ep) for node in group}
        if all(node in matched for node in ep.graph.nodes if node.op == "call_function"):
            return [Partition(id=0, nodes=[node for node in ep.graph.nodes if node in matched])]
        parts: list[Partition] = super().generate_partitions(ep)
        return parts
