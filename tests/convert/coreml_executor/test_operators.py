"""Operator by operator, out of a saved package, against what coremltools itself infers from constants."""

from __future__ import annotations

import numpy as np
import pytest

from edge_stickers.convert.coreml_executor import execute

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 3, 4, 5)).astype(np.float32)
Y = RNG.standard_normal((3, 1, 5)).astype(np.float32)
P = RNG.uniform(0.1, 0.9, (2, 3, 4, 5)).astype(np.float32)
M = RNG.standard_normal((2, 5, 6)).astype(np.float32)
I = RNG.integers(-9, 9, (2, 3, 4, 5)).astype(np.int32)  # noqa: E741
J = np.where(I == 0, 2, np.roll(I, 3)).astype(np.int32) | 1
K = RNG.integers(0, 3, (2, 4)).astype(np.int32)
A = RNG.integers(0, 4, (2, 3, 4, 5)).astype(np.int32)
INPUTS = {"x": X, "y": Y, "p": P, "m": M, "i": I, "j": J, "k": K, "a": A}
W = RNG.standard_normal((6, 5)).astype(np.float32)
C3, C4 = np.float32([0.2, -0.7, 1.5]), np.float32([1.0, 2.0, 0.5])

UNARY = "abs atan ceil cos cosh erf exp exp2 floor relu relu6 round sigmoid sign sin sinh softplus softsign square tanh"
BINARY = "add sub mul real_div maximum minimum"
COMPARISONS = "equal not_equal greater greater_equal less less_equal"
REDUCTIONS = "l1_norm l2_norm max mean min prod sum sum_square log_sum_exp"


def cases():
    """Name → what to build of (mb, inputs); the operator is the name's first word."""
    made = {}
    for name in UNARY.split():
        made[name] = lambda mb, v, name=name: getattr(mb, name)(x=v["x"])
    for name in ("acos", "asin", "atanh", "sqrt", "tan"):
        made[name] = lambda mb, v, name=name: getattr(mb, name)(x=v["p"])
    for name in BINARY.split():
        made[name] = lambda mb, v, name=name: getattr(mb, name)(x=v["x"], y=v["y"])
    for name in ("add", "sub", "mul", "floor_div", "mod", "maximum", "minimum"):
        made[f"{name} int"] = lambda mb, v, name=name: getattr(mb, name)(x=v["i"], y=v["j"])
    for name in ("floor_div", "mod"):
        made[name] = lambda mb, v, name=name: getattr(mb, name)(x=v["x"], y=v["p"])
    for name in COMPARISONS.split():
        made[name] = lambda mb, v, name=name: getattr(mb, name)(x=v["i"], y=v["a"])
    for name in ("logical_and", "logical_or", "logical_xor"):
        made[name] = lambda mb, v, name=name: getattr(mb, name)(
            x=mb.greater(x=v["x"], y=0.0), y=mb.greater(x=v["y"], y=0.0)
        )
    for name in REDUCTIONS.split():
        made[f"reduce_{name}"] = lambda mb, v, name=name: getattr(mb, f"reduce_{name}")(
            x=v["x"], axes=[1, -1], keep_dims=False
        )
        made[f"reduce_{name} kept"] = lambda mb, v, name=name: getattr(mb, f"reduce_{name}")(
            x=v["x"], axes=[2], keep_dims=True
        )
    return made | {
        "round ties": lambda mb, v: mb.round(x=mb.mul(x=mb.cast(x=v["i"], dtype="fp32"), y=0.5)),
        "pow": lambda mb, v: mb.pow(x=v["p"], y=v["y"]),
        "logical_not": lambda mb, v: mb.logical_not(x=mb.greater(x=v["x"], y=0.0)),
        "reduce_log_sum": lambda mb, v: mb.reduce_log_sum(x=v["p"], axes=[1], keep_dims=True),
        "reduce_argmax": lambda mb, v: mb.reduce_argmax(x=v["x"], axis=1, keep_dims=False),
        "reduce_argmin": lambda mb, v: mb.reduce_argmin(x=v["x"], axis=-1, keep_dims=True),
        "cast": lambda mb, v: mb.cast(x=v["x"], dtype="int32"),
        "cast bool": lambda mb, v: mb.cast(x=v["i"], dtype="bool"),
        "clip": lambda mb, v: mb.clip(x=v["x"], alpha=-0.5, beta=0.25),
        "inverse": lambda mb, v: mb.inverse(x=v["p"], epsilon=0.1),
        "log": lambda mb, v: mb.log(x=v["p"], epsilon=0.3),
        "rsqrt": lambda mb, v: mb.rsqrt(x=v["p"], epsilon=0.5),
        "threshold": lambda mb, v: mb.threshold(x=v["x"], alpha=0.2),
        "clamped_relu": lambda mb, v: mb.clamped_relu(x=v["x"], alpha=0.3, beta=0.8),
        "elu": lambda mb, v: mb.elu(x=v["x"], alpha=0.7),
        "gelu": lambda mb, v: mb.gelu(x=v["x"], mode="EXACT"),
        "gelu tanh": lambda mb, v: mb.gelu(x=v["x"], mode="TANH_APPROXIMATION"),
        "gelu sigmoid": lambda mb, v: mb.gelu(x=v["x"], mode="SIGMOID_APPROXIMATION"),
        "leaky_relu": lambda mb, v: mb.leaky_relu(x=v["x"], alpha=0.1),
        "linear_activation": lambda mb, v: mb.linear_activation(x=v["x"], alpha=2.0, beta=0.5),
        "prelu": lambda mb, v: mb.prelu(x=v["x"], alpha=C3),
        "scaled_tanh": lambda mb, v: mb.scaled_tanh(x=v["x"], alpha=1.5, beta=0.5),
        "sigmoid_hard": lambda mb, v: mb.sigmoid_hard(x=v["x"], alpha=0.4, beta=0.5),
        "softmax": lambda mb, v: mb.softmax(x=v["x"], axis=1),
        "softplus_parametric": lambda mb, v: mb.softplus_parametric(x=v["x"], alpha=C4, beta=C3),
        "thresholded_relu": lambda mb, v: mb.thresholded_relu(x=v["x"], alpha=0.3),
        "linear": lambda mb, v: mb.linear(x=v["m"], weight=W.reshape(5, 6), bias=W[0]),
        "matmul": lambda mb, v: mb.matmul(x=v["m"], y=v["m"], transpose_y=True),
        "matmul transposed": lambda mb, v: mb.matmul(x=v["m"], y=v["m"], transpose_x=True),
        "l2_norm": lambda mb, v: mb.l2_norm(x=v["x"], epsilon=1e-3),
        "layer_norm": lambda mb, v: mb.layer_norm(x=v["x"], axes=[1], gamma=C4, beta=C3, epsilon=1e-3),
        "layer_norm two axes": lambda mb, v: mb.layer_norm(x=v["x"], axes=[-2, -1], epsilon=1e-5),
        "argsort": lambda mb, v: mb.argsort(x=v["x"], axis=2, ascending=True),
        "argsort falling": lambda mb, v: mb.argsort(x=v["x"]),
        "band_part": lambda mb, v: mb.band_part(x=v["x"], lower=1, upper=-1),
        "cumsum": lambda mb, v: mb.cumsum(x=v["x"], axis=1, reverse=True),
        "fill": lambda mb, v: mb.mul(x=mb.fill(shape=[2, 1, 1, 5], value=3.0), y=v["x"]),
        "fill_like": lambda mb, v: mb.fill_like(ref_tensor=v["x"], value=2),
        "flatten2d": lambda mb, v: mb.flatten2d(x=v["x"], axis=2),
        "identity": lambda mb, v: mb.identity(x=v["x"]),
        "pad": lambda mb, v: mb.pad(x=v["x"], pad=[1, 2, 3, 0], mode="constant", constant_val=0.5),
        "pad reflect": lambda mb, v: mb.pad(x=v["x"], pad=[1, 2, 3, 0], mode="reflect"),
        "pad replicate": lambda mb, v: mb.pad(x=v["x"], pad=[1, 2, 2, 0], mode="replicate"),
        "select": lambda mb, v: mb.select(cond=mb.greater(x=v["i"], y=0), a=v["x"], b=v["p"]),
        "shape": lambda mb, v: mb.shape(x=v["x"]),
        "split": lambda mb, v: mb.split(x=v["x"], split_sizes=[1, 4], axis=3)[1],
        "split even": lambda mb, v: mb.split(x=v["x"], num_splits=2, axis=2)[1],
        "tile": lambda mb, v: mb.tile(x=v["x"], reps=[1, 2, 1, 3]),
        "topk": lambda mb, v: mb.topk(x=v["x"], k=2, axis=1)[0],
        "topk indices": lambda mb, v: mb.topk(x=v["x"], k=2, axis=1, ascending=True)[1],
        "gather": lambda mb, v: mb.gather(x=v["x"], indices=v["k"], axis=1),
        "gather batched": lambda mb, v: mb.gather(x=v["x"], indices=v["k"], axis=1, batch_dims=1),
        "gather_along_axis": lambda mb, v: mb.gather_along_axis(x=v["x"], indices=v["a"], axis=2),
        "expand_dims": lambda mb, v: mb.expand_dims(x=v["m"], axes=[0, -1]),
        "squeeze": lambda mb, v: mb.squeeze(x=v["y"], axes=[1]),
        "reshape": lambda mb, v: mb.reshape(x=v["x"], shape=[0, -1, 4, 5]),
        "reverse": lambda mb, v: mb.reverse(x=v["x"], axes=[1, -1]),
        "transpose": lambda mb, v: mb.transpose(x=v["x"], perm=[2, 0, -1, 1]),
        "slice_by_index": lambda mb, v: mb.slice_by_index(
            x=v["x"], begin=[0, 1, -3, 4], end=[1, 3, 4, 0], stride=[1, 1, 2, -1]
        ),
        "slice_by_index masks": lambda mb, v: mb.slice_by_index(
            x=v["x"],
            begin=[1, 1, 1, 2],
            end=[9, 2, 2, 9],
            begin_mask=[False, True, False, False],
            end_mask=[True, False, True, False],
            squeeze_mask=[False, False, False, True],
        ),
        "slice_by_size": lambda mb, v: mb.slice_by_size(x=v["x"], begin=[0, 1, 1, 0], size=[2, -1, 2, 3]),
        "slice_update": lambda mb, v: mb.slice_update(
            x=v["x"], update=mb.expand_dims(x=v["y"], axes=[0]), begin=[0, 0, 1, 0], end=[1, 3, 2, 5]
        ),
    }


@pytest.fixture(scope="module")
def results(ct, saved, build):
    """Name → (what the executor gave, what coremltools infers)."""
    from coremltools.converters.mil import Builder as mb

    expected = {}

    @mb.program(input_specs=[mb.TensorSpec(shape=(1,))], opset_version=ct.target.iOS18)
    def constants(x):
        for name, make in cases().items():
            # `thresholded_relu` of coremltools writes into its input: copies.
            expected[name] = make(mb, {key: mb.const(val=array.copy()) for key, array in INPUTS.items()}).val
        return mb.identity(x=x)

    outputs = execute(saved(build(cases(), INPUTS)), INPUTS, precision="fp32")
    return {name: (outputs[f"out{index}"], expected[name]) for index, name in enumerate(expected)}


@pytest.mark.parametrize("name", cases())
def test_an_operator_computes_what_coremltools_infers(results, name):
    got, expected = results[name]
    assert expected is not None, "coremltools infers no value: write a formula in test_formulas.py"
    assert got.shape == np.shape(expected)
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-6)
