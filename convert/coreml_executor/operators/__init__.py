"""The operators of the ML program format, as pure functions of PyTorch tensors, in files as its specification has them.

Names and parameters are those of the specification. Floats come and go as float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from edge_stickers.convert.coreml_executor.operators import (
    activation,
    constexpr,
    conv,
    elementwise,
    image_resizing,
    linear,
    normalization,
    pool,
    reduction,
    scatter_gather,
    tensor_operation,
    tensor_transformation,
    transformer,
)
from edge_stickers.convert.coreml_executor.operators.arguments import Operator

OPERATORS: Mapping[str, Operator] = MappingProxyType(
    activation.OPERATORS
    | constexpr.OPERATORS
    | conv.OPERATORS
    | elementwise.OPERATORS
    | image_resizing.OPERATORS
    | linear.OPERATORS
    | normalization.OPERATORS
    | pool.OPERATORS
    | reduction.OPERATORS
    | scatter_gather.OPERATORS
    | tensor_operation.OPERATORS
    | tensor_transformation.OPERATORS
    | transformer.OPERATORS
)
"""By name."""
