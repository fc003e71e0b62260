"""Operators for which coremltools infers no value, against NumPy written from the specification."""

from __future__ import annotations

import math

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


def heads(x):
    return x.reshape(2, 3, 2, 10)


def softmax(x):
    grown = np.exp(x - x.max(-1, keepdims=True))
    return grown / grown.sum(-1, keepdims=True)


def windows(x, size, step):
    """(B, C, H, W) → (B, C, H', W', size, size)."""
    return np.lib.stride_tricks.sliding_window_view(x, (size, size), (2, 3))[:, :, ::step, ::step]


def bilinear(x, points):
    """Rows of x (.., W) at positions."""
    low = np.floor(points).astype(int)
    high = np.minimum(low + 1, x.shape[-1] - 1)
    share = points - low
    return x[..., low] * (1 - share) + x[..., high] * share


def conv_by_hand(x, weight, *, step, pad):
    padded = np.pad(x, [(0, 0), (0, 0), *pad])
    return np.einsum("bchwij,ocij->bohw", windows(padded, weight.shape[-1], step), weight)


KERNEL = RNG.standard_normal((4, 3, 3, 3)).astype(np.float32)
DEEP = RNG.standard_normal((3, 2, 2, 2)).astype(np.float32)
MEAN, VAR = np.float32([0.1, -0.2, 0.3]), np.float32([0.5, 1.0, 2.0])


def column(v):
    return v.reshape(1, 3, 1, 1)


def transposed_by_hand(x, weight, step):
    size = weight.shape[-1]
    out = np.zeros((2, 2, (x.shape[2] - 1) * step + size, (x.shape[3] - 1) * step + size))
    for i in range(x.shape[2]):
        for j in range(x.shape[3]):
            part = np.einsum("bc,cohw->bohw", x[:, :, i, j], weight)
            out[:, :, i * step : i * step + size, j * step : j * step + size] += part
    return out


def by_hand():
    """Name → (what to build, what the specification says)."""
    silu = X / (1 + np.exp(-X))
    spread = X - X.mean((2, 3), keepdims=True)
    instance = spread / np.sqrt(X.var((2, 3), keepdims=True) + 1e-3) * column(C4) + column(C3)
    attention = softmax(heads(X) @ heads(P).swapaxes(-1, -2) / math.sqrt(10)) @ heads(X)
    masked = softmax(heads(X) @ heads(P).swapaxes(-1, -2) / math.sqrt(10) + np.float32([0, -np.inf])) @ heads(X)
    even = X[:, :, :, :4]
    squares = np.pad(X, [(0, 0), (1, 1), (0, 0), (0, 0)]) ** 2
    near = np.pad(X, [(0, 0), (0, 0), (1, 1), (1, 1)], constant_values=-np.inf)
    unaligned = np.clip((np.arange(8) + 0.5) * 5 / 8 - 0.5, 0, 4)
    scattered = X.copy()
    scattered[:, [2, 0]] = P[:, :2]
    added = X.copy()
    np.add.at(added, (slice(None), [1, 1]), P[:, :2])
    across = X.copy()
    np.put_along_axis(across, A, P, 2)
    nd = Y.copy()
    nd[[0, 2], [0, 0]] = M[0, :2, :5]
    sdpa = lambda mb, v, **mask: mb.scaled_dot_product_attention(  # noqa: E731
        query=mb.reshape(x=v["x"], shape=[2, 3, 2, 10]),
        key=mb.reshape(x=v["p"], shape=[2, 3, 2, 10]),
        value=mb.reshape(x=v["x"], shape=[2, 3, 2, 10]),
        **mask,
    )
    return {
        "silu": (lambda mb, v: mb.silu(x=v["x"]), silu),
        "conv": (
            lambda mb, v: mb.conv(
                x=v["x"], weight=KERNEL, bias=W[:4, 0], strides=[2, 2], pad_type="custom", pad=[1, 1, 2, 0]
            ),
            conv_by_hand(X, KERNEL, step=2, pad=[(1, 1), (2, 0)]) + W[:4, 0].reshape(1, 4, 1, 1),
        ),
        "conv same": (
            lambda mb, v: mb.conv(x=v["x"], weight=KERNEL[:, :, :2, :2], strides=[1, 1], pad_type="same"),
            conv_by_hand(X, KERNEL[:, :, :2, :2], step=1, pad=[(0, 1), (0, 1)]),
        ),
        "conv same_lower": (
            lambda mb, v: mb.conv(x=v["x"], weight=KERNEL[:, :, :2, :2], strides=[1, 1], pad_type="same_lower"),
            conv_by_hand(X, KERNEL[:, :, :2, :2], step=1, pad=[(1, 0), (1, 0)]),
        ),
        "conv depthwise": (
            lambda mb, v: mb.conv(x=v["x"], weight=KERNEL[:3, :1], groups=3, pad_type="valid"),
            np.einsum("bchwij,cij->bchw", windows(X, 3, 1), KERNEL[:3, 0]),
        ),
        "conv_transpose": (
            lambda mb, v: mb.conv_transpose(x=v["x"], weight=DEEP, strides=[2, 2], bias=W[:2, 0]),
            transposed_by_hand(X, DEEP, 2) + W[:2, 0].reshape(1, 2, 1, 1),
        ),
        "conv_transpose cut": (
            lambda mb, v: mb.conv_transpose(x=v["x"], weight=DEEP, strides=[1, 1], pad_type="custom", pad=[1, 0, 0, 1]),
            transposed_by_hand(X, DEEP, 1)[:, :, 1:, :-1],
        ),
        "batch_norm": (
            lambda mb, v: mb.batch_norm(x=v["x"], mean=MEAN, variance=VAR, gamma=C4, beta=C3, epsilon=1e-3),
            (X - column(MEAN)) / np.sqrt(column(VAR) + 1e-3) * column(C4) + column(C3),
        ),
        "instance_norm": (lambda mb, v: mb.instance_norm(x=v["x"], gamma=C4, beta=C3, epsilon=1e-3), instance),
        "local_response_norm": (
            lambda mb, v: mb.local_response_norm(x=v["x"], size=3, alpha=0.3, beta=0.5, k=2.0),
            X / np.sqrt(2 + 0.1 * (squares[:, :-2] + squares[:, 1:-1] + squares[:, 2:])),
        ),
        "avg_pool": (
            lambda mb, v: mb.avg_pool(x=v["x"], kernel_sizes=[2, 2], strides=[2, 2], pad_type="valid"),
            windows(X, 2, 2).mean((-2, -1)),
        ),
        "avg_pool unpadded": (
            lambda mb, v: mb.avg_pool(
                x=v["x"],
                kernel_sizes=[3, 3],
                strides=[2, 2],
                pad_type="custom",
                pad=[1, 1, 1, 1],
                exclude_padding_from_average=True,
            ),
            np.nanmean(windows(np.where(np.isinf(near), np.nan, near), 3, 2), (-2, -1)),
        ),
        "max_pool": (
            lambda mb, v: mb.max_pool(
                x=v["x"], kernel_sizes=[3, 3], strides=[2, 2], pad_type="custom", pad=[1, 1, 1, 1]
            ),
            windows(near, 3, 2).max((-2, -1)),
        ),
        "l2_pool": (
            lambda mb, v: mb.l2_pool(x=v["x"], kernel_sizes=[2, 2], strides=[1, 1], pad_type="valid"),
            np.sqrt((windows(X, 2, 1) ** 2).sum((-2, -1))),
        ),
        "upsample_nearest_neighbor": (
            lambda mb, v: mb.upsample_nearest_neighbor(x=v["x"], scale_factor_height=2, scale_factor_width=3),
            X.repeat(2, 2).repeat(3, 3),
        ),
        "resize_nearest_neighbor": (
            lambda mb, v: mb.resize_nearest_neighbor(x=v["x"], target_size_height=8, target_size_width=7),
            X.repeat(2, 2)[..., np.arange(7) * 5 // 7],
        ),
        "upsample_bilinear": (
            lambda mb, v: mb.upsample_bilinear(
                x=v["x"], scale_factor_height=1.0, scale_factor_width=1.6, align_corners=False
            ),
            bilinear(X, unaligned),
        ),
        "upsample_bilinear aligned": (
            lambda mb, v: mb.upsample_bilinear(
                x=v["x"], scale_factor_height=1, scale_factor_width=2, align_corners=True
            ),
            bilinear(X, np.arange(10) * 4 / 9),
        ),
        **{
            f"resize_bilinear {mode}": (
                lambda mb, v, mode=mode: mb.resize_bilinear(
                    x=v["x"],
                    target_size_height=4 if mode != "OFFSET_CORNERS" else 3,
                    target_size_width=8,
                    sampling_mode=mode,
                ),
                bilinear(
                    X
                    if mode != "OFFSET_CORNERS"
                    else bilinear(X.swapaxes(2, 3), np.float64([0.5, 1.5, 2.5])).swapaxes(2, 3),
                    points,
                ),
            )
            for mode, points in {
                "DEFAULT": np.minimum(np.arange(8) * 5 / 8, 4),
                "STRICT_ALIGN_CORNERS": np.arange(8) * 4 / 7,
                "UNALIGN_CORNERS": unaligned,
                "OFFSET_CORNERS": (np.arange(8) + 0.5) * 4 / 8,
            }.items()
        },
        "resize": (
            lambda mb, v: mb.resize(x=v["x"], shape=[0, 8], resized_dims=np.uint32(2), sampling_mode="UNALIGN_CORNERS"),
            bilinear(X, unaligned),
        ),
        "resample": (
            lambda mb, v: mb.resample(
                x=v["x"],
                coordinates=np.stack(np.broadcast_arrays(unaligned, 2.0), -1)
                .astype(np.float32)
                .reshape(1, 1, 8, 2)
                .repeat(2, 0),
                sampling_mode="bilinear",
                padding_mode="constant",
                padding_value=0.0,
                coordinates_mode="unnormalized",
                align_corners=True,
            ),
            bilinear(X[:, :, 2:3], unaligned),
        ),
        "depth_to_space": (
            lambda mb, v: mb.depth_to_space(x=mb.reshape(x=v["x"], shape=[2, 12, 1, 5]), block_size=2),
            X.reshape(2, 2, 2, 3, 1, 5).transpose(0, 3, 4, 1, 5, 2).reshape(2, 3, 2, 10),
        ),
        "space_to_depth": (
            lambda mb, v: mb.space_to_depth(
                x=mb.slice_by_size(x=v["x"], begin=[0] * 4, size=[2, 3, 4, 4]), block_size=2
            ),
            np.concatenate([even[:, :, i::2, j::2] for i in range(2) for j in range(2)], 1),
        ),
        "pixel_shuffle": (
            lambda mb, v: mb.pixel_shuffle(x=mb.reshape(x=v["x"], shape=[2, 12, 1, 5]), upscale_factor=2),
            X.reshape(2, 3, 2, 2, 1, 5).transpose(0, 1, 4, 2, 5, 3).reshape(2, 3, 2, 10),
        ),
        "pixel_unshuffle": (
            lambda mb, v: mb.pixel_unshuffle(
                x=mb.slice_by_size(x=v["x"], begin=[0] * 4, size=[2, 3, 4, 4]), downscale_factor=np.uint32(2)
            ),
            np.stack([even[:, :, i::2, j::2] for i in range(2) for j in range(2)], 2).reshape(2, 12, 2, 2),
        ),
        "space_to_batch": (
            lambda mb, v: mb.space_to_batch(x=v["x"], block_shape=[2, 2], paddings=[[0, 0], [0, 1]]),
            np.concatenate(
                [np.pad(X, [(0, 0)] * 3 + [(0, 1)])[:, :, i::2, j::2] for i in range(2) for j in range(2)], 0
            ),
        ),
        "batch_to_space": (
            lambda mb, v: mb.batch_to_space(
                x=mb.space_to_batch(x=v["x"], block_shape=[2, 2], paddings=[[0, 0], [0, 1]]),
                block_shape=[2, 2],
                crops=[[0, 0], [0, 1]],
            ),
            X,
        ),
        "sliding_windows": (
            lambda mb, v: mb.sliding_windows(x=v["x"], axis=2, size=2, stride=1),
            np.lib.stride_tricks.sliding_window_view(X, 2, 2).swapaxes(-1, -2),
        ),
        "concat": (lambda mb, v: mb.concat(values=[v["x"], v["p"]], axis=-3), np.concatenate([X, P], 1)),
        "concat interleaved": (
            lambda mb, v: mb.concat(values=[v["x"], v["p"]], axis=1, interleave=True),
            np.stack([X, P], 2).reshape(2, 6, 4, 5),
        ),
        "stack": (lambda mb, v: mb.stack(values=[v["x"], v["p"]], axis=2), np.stack([X, P], 2)),
        "one_hot": (
            lambda mb, v: mb.one_hot(indices=v["k"], one_hot_vector_size=3, axis=1),
            np.eye(3, dtype=int)[K].swapaxes(1, 2),
        ),
        "cumsum exclusive": (lambda mb, v: mb.cumsum(x=v["x"], axis=2, exclusive=True), np.cumsum(X, 2) - X),
        "range_1d": (
            lambda mb, v: mb.mul(x=mb.range_1d(start=1.0, end=6.0, step=1.0), y=v["x"]),
            np.arange(1.0, 6.0) * X,
        ),
        "non_zero": (
            lambda mb, v: mb.non_zero(x=mb.greater(x=v["y"], y=0.0)),
            np.argwhere(Y > 0),
        ),
        "reshape_like": (
            lambda mb, v: mb.reshape_like(
                x=v["x"], ref_tensors=[v["x"], v["m"]], begins=[1, 0], ends=[4, 1], end_masks=[False, False]
            ),
            X.reshape(3, 4, 5, 2),
        ),
        "einsum": (
            lambda mb, v: mb.einsum(
                values=[v["x"], mb.transpose(x=v["p"], perm=[0, 3, 2, 1])], equation="nchw,nwhu->nchu"
            ),
            np.einsum("nchw,nuhw->nchu", X, P),
        ),
        "scaled_dot_product_attention": (lambda mb, v: sdpa(mb, v), attention),
        "scaled_dot_product_attention mask": (
            lambda mb, v: sdpa(mb, v, attn_mask=np.array([[True, False]] * 2)),
            masked,
        ),
        "gather_nd": (
            lambda mb, v: mb.gather_nd(x=v["x"], indices=np.int32([[0, 2], [1, 1]])),
            X[[0, 1], [2, 1]],
        ),
        "scatter": (
            lambda mb, v: mb.scatter(
                data=v["x"],
                indices=np.int32([2, 0]),
                updates=mb.slice_by_size(x=v["p"], begin=[0] * 4, size=[2, 2, 4, 5]),
                axis=1,
                mode="update",
            ),
            scattered,
        ),
        "scatter add": (
            lambda mb, v: mb.scatter(
                data=v["x"],
                indices=np.int32([1, 1]),
                updates=mb.slice_by_size(x=v["p"], begin=[0] * 4, size=[2, 2, 4, 5]),
                axis=1,
                mode="add",
            ),
            added,
        ),
        "scatter_along_axis": (
            lambda mb, v: mb.scatter_along_axis(
                data=v["x"], indices=np.argsort(X, 2).astype(np.int32), updates=v["p"], axis=2, mode="update"
            ),
            _put(X, np.argsort(X, 2), P),
        ),
        "scatter_nd": (
            lambda mb, v: mb.scatter_nd(
                data=v["y"], indices=np.int32([[0, 0], [2, 0]]), updates=M[0, :2, :5], mode="update"
            ),
            nd,
        ),
        "quantize": (
            lambda mb, v: mb.quantize(
                input=v["x"], scale=C4 / 40, zero_point=np.int8([1, -2, 3]), axis=1, output_dtype="int8"
            ),
            np.clip(np.round(X / column(C4 / 40)) + column(np.float32([1, -2, 3])), -128, 127),
        ),
        "dequantize": (
            lambda mb, v: mb.dequantize(
                input=mb.cast(x=v["i"], dtype="int8"), scale=C4, zero_point=np.int8([1, -2, 3]), axis=1
            ),
            (I - column(np.float32([1, -2, 3]))) * column(C4),
        ),
    }


def _put(x, places, values):
    result = x.copy()
    np.put_along_axis(result, places, values, 2)
    return result


@pytest.fixture(scope="module")
def outputs(saved, build):
    made = {name: make for name, (make, _) in by_hand().items()}
    given = execute(saved(build(made, INPUTS)), INPUTS, precision="fp32")
    return {name: given[f"out{index}"] for index, name in enumerate(made)}


@pytest.mark.parametrize("name", by_hand())
def test_an_operator_computes_its_formula(outputs, name):
    expected = by_hand()[name][1]
    assert outputs[name].shape == expected.shape
    np.testing.assert_allclose(outputs[name], expected, rtol=2e-5, atol=2e-6)
