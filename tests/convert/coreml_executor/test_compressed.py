"""Compressed weights: what coremltools writes, and the forms that it writes rarely."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edge_stickers.convert.coreml_executor import execute
from edge_stickers.convert.coreml_executor.operators import OPERATORS
from edge_stickers.convert.parity import snr_db


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.out = nn.Conv2d(3, 32, 3, padding=1), nn.Linear(32, 64)

    def forward(self, x):
        return self.out(torch.relu(self.conv(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return Small().eval(), torch.rand(1, 3, 6, 6)


def optimised(ct, converted, small, target, kind):
    opt = ct.optimize.coreml
    module, x = small
    program = torch.export.export(module, (x,)).run_decompositions({})
    model = ct.convert(
        program,
        minimum_deployment_target=target,
        compute_precision=ct.precision.FLOAT32,
        outputs=[ct.TensorType(name="out")],
        skip_model_load=True,
    )
    made = {
        "int8": lambda: (
            opt.linear_quantize_weights,
            opt.OpLinearQuantizerConfig(mode="linear_symmetric", weight_threshold=0),
        ),
        "int8 asymmetric": lambda: (
            opt.linear_quantize_weights,
            opt.OpLinearQuantizerConfig(mode="linear", weight_threshold=0),
        ),
        "int4 blocks": lambda: (
            opt.linear_quantize_weights,
            opt.OpLinearQuantizerConfig(dtype="int4", granularity="per_block", block_size=16, weight_threshold=0),
        ),
        "table of 6 bits": lambda: (
            opt.palettize_weights,
            opt.OpPalettizerConfig(nbits=6, mode="uniform", weight_threshold=0),
        ),
        "tables of 4 bits": lambda: (
            opt.palettize_weights,
            opt.OpPalettizerConfig(
                nbits=4, mode="uniform", granularity="per_grouped_channel", group_size=8, weight_threshold=0
            ),
        ),
        "pruned": lambda: (opt.prune_weights, opt.OpMagnitudePrunerConfig(target_sparsity=0.5, weight_threshold=0)),
    }
    function, config = made[kind]()
    return function(model, opt.OptimizationConfig(global_config=config))


@pytest.mark.parametrize(
    ("target", "kind", "operator", "floor_db"),
    [
        ("iOS16", "int8", "constexpr_affine_dequantize", 35.0),
        ("iOS16", "int8 asymmetric", "constexpr_affine_dequantize", 35.0),
        ("iOS16", "table of 6 bits", "constexpr_lut_to_dense", 25.0),
        ("iOS16", "pruned", "constexpr_sparse_to_dense", 5.0),
        ("iOS18", "int8", "constexpr_blockwise_shift_scale", 35.0),
        ("iOS18", "int4 blocks", "constexpr_blockwise_shift_scale", 15.0),
        ("iOS18", "table of 6 bits", "constexpr_lut_to_dense", 25.0),
        ("iOS18", "tables of 4 bits", "constexpr_lut_to_dense", 15.0),
        ("iOS18", "pruned", "constexpr_sparse_to_dense", 5.0),
    ],
)
def test_a_compressed_package_is_what_coremltools_decompresses(
    ct, saved, converted, small, target, kind, operator, floor_db
):
    module, x = small
    model = optimised(ct, converted, small, getattr(ct.target, target), kind)
    program = saved(model)
    assert program.operators()[operator] == (1 if "blocks" in kind else 2)  # 3 channels are no whole block
    plain = saved(ct.optimize.coreml.decompress_weights(model))
    assert operator not in plain.operators()
    inputs = {program.inputs[0].name: x.numpy()}
    got, expected = execute(program, inputs)["out"], execute(plain, inputs)["out"]
    assert snr_db(expected, got) > 100
    assert floor_db < snr_db(module(x).detach(), got) < 70  # compressed, and not beyond recognition


def reference(ct, version, name, *arguments):
    """coremltools' own decompression."""
    import importlib

    module = {
        "iOS16": "coremltools.converters.mil.mil.ops.defs.iOS16.constexpr_ops",
        "iOS18": "coremltools.converters.mil.mil.ops.defs.iOS18.compression",
    }[version]
    return getattr(importlib.import_module(module), name).decompress(*arguments)


def same(got, expected):
    got, expected = (each if isinstance(each, tuple) else (each,) for each in (got, expected))
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one.numpy(), other, rtol=1e-6)


def test_rare_forms(ct):
    rng = np.random.default_rng(0)
    indices = rng.integers(0, 4, (6, 4)).astype(np.uint8)
    mask = rng.integers(0, 2, (6, 4)).astype(np.uint8)
    lut = rng.standard_normal((2, 1, 4, 1)).astype(np.float32)
    vectors = rng.standard_normal((2, 1, 4, 3)).astype(np.float32)
    scale, offset = (rng.uniform(0.5, 2, (3, 2)).astype(np.float32) for _ in range(2))
    data = rng.integers(-8, 8, (6, 4)).astype(np.int8)
    there = mask != 0

    def run(name, **arguments):
        tensors = {key: torch.from_numpy(np.array(value)) for key, value in arguments.items()}
        return OPERATORS[name](**tensors)

    same(
        run("constexpr_lut_to_dense", indices=indices, lut=lut),
        reference(ct, "iOS18", "constexpr_lut_to_dense", indices, lut, None),
    )
    for axis in (0, 1, -1):
        same(
            run("constexpr_lut_to_dense", indices=indices, lut=vectors, vector_axis=np.int32(axis)),
            reference(ct, "iOS18", "constexpr_lut_to_dense", indices, vectors, axis),
        )
    same(
        run("constexpr_blockwise_shift_scale", data=data, scale=scale, offset=offset),
        reference(ct, "iOS18", "constexpr_blockwise_shift_scale", data, scale, offset),
    )
    same(
        run(
            "constexpr_sparse_blockwise_shift_scale",
            data_mask=mask,
            nonzero_data=data[there],
            scale=scale,
            offset=offset,
        ),
        reference(ct, "iOS18", "constexpr_sparse_blockwise_shift_scale", mask, data[there], scale, offset),
    )
    same(
        run("constexpr_lut_to_sparse", indices_mask=mask, indices_nonzero_data=indices[there], lut=lut),
        reference(ct, "iOS18", "constexpr_lut_to_sparse", mask, indices[there], lut, None),
    )
    same(
        run(
            "constexpr_lut_to_sparse",
            indices_mask=mask,
            indices_nonzero_data=indices[there],
            lut=vectors,
            vector_axis=np.int32(0),
        ),
        reference(ct, "iOS18", "constexpr_lut_to_sparse", mask, indices[there], vectors, 0),
    )
    half = np.float16([0.1, 2.0])
    assert OPERATORS["constexpr_cast"](torch.from_numpy(half), "fp32").tolist() == half.tolist()


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6])
def test_packed_weights_are_read_as_coremltools_writes_them(ct, tmp_path, bits):
    from coremltools.libmilstoragepython import _BlobStorageWriter

    from edge_stickers.convert.coreml_executor.types import ELEMENT_TYPES, unpack
    from edge_stickers.convert.coreml_executor.weights import blob, open_weights

    values = np.random.default_rng(bits).integers(0, 2**bits, 37).astype(np.uint8)
    writer = _BlobStorageWriter(str(tmp_path / "weight.bin"))
    offset = getattr(writer, f"write_uint{bits}_data")(values)
    signed = values[:9].astype(np.int8) - 8 if bits == 4 else None
    second = writer.write_int4_data(signed) if bits == 4 else None
    del writer  # closes the file
    weights = open_weights(tmp_path / "weight.bin")
    element = ELEMENT_TYPES[f"uint{bits}"]
    assert unpack(blob(weights, offset, element, 37, where="w"), element, 37).tolist() == values.tolist()
    if bits == 4:
        element = ELEMENT_TYPES["int4"]
        assert unpack(blob(weights, second, element, 9, where="w"), element, 9).tolist() == signed.tolist()
