from __future__ import annotations

import math

import pytest
import torch

from edge_stickers.models.functional import (
    attention,
    cell_centres,
    frame_features,
    gaussian_read,
    neighbour_frames,
    place_key,
    place_query,
    smooth_basis,
    source_points,
    timestep_embedding,
)


@pytest.mark.parametrize(("height", "width"), [(4, 4), (3, 5), (7, 2)])
def test_place_channels_are_a_gaussian_of_the_distance(height: int, width: int) -> None:
    source = torch.randn(2, 2, 11) * 3
    sharpness = torch.rand(2, 1, 1) + 0.5
    product = place_query(source, sharpness).transpose(1, 2) @ place_key(height, width)  # (2, 11, H W)
    cells = cell_centres(height, width) * torch.tensor([width / 2, height / 2])
    distance = (source.transpose(1, 2)[:, :, None] - cells).square().sum(dim=-1)
    torch.testing.assert_close(product, -sharpness * distance, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(4, 4), (3, 5), (7, 2)])
def test_the_separable_read_is_attention_by_place(height: int, width: int) -> None:
    clips, frames, channels = 2, 3, 5
    values, source = torch.randn(clips, channels, height, width), torch.randn(clips * frames, 2, 11) * 2
    sharpness = torch.tensor([0.7])
    query = place_query(source, sharpness.expand(clips * frames, 1, 1)).transpose(1, 2)  # (B F, Q, 4)
    key = place_key(height, width).t().expand(clips * frames, -1, 4)
    value = values.flatten(2).transpose(1, 2).repeat_interleave(frames, dim=0)
    whole = attention(query, key, value, scale=1.0).transpose(1, 2)
    torch.testing.assert_close(gaussian_read(values, source, sharpness), whole, atol=1e-5, rtol=1e-4)


def test_looking_far_beyond_the_canvas_reads_its_border_in_half_precision_too() -> None:
    places = smooth_basis(8, 8, 1)
    field = torch.zeros(1, 2, 7)
    field[:, 0, 0], field[:, 1, 1] = 20.0, 1.0  # a flip edge on: x from twenty times x
    source = (source_points(field, places) * 4.0).half()
    values = torch.rand(1, 3, 8, 8).half()
    read = gaussian_read(values, source, torch.tensor(20.0).half()).reshape(3, 8, 8)
    assert bool(torch.isfinite(read).all())
    torch.testing.assert_close(read[:, :, :3], values[0, :, :, :1].expand(3, 8, 3), atol=2e-3, rtol=1e-2)


def test_a_sharp_read_at_the_cells_gives_back_the_values() -> None:
    values = torch.randn(1, 3, 4, 6)
    cells = (cell_centres(4, 6) * torch.tensor([3.0, 2.0])).t()[None]
    read = gaussian_read(values, cells, torch.tensor(30.0)).reshape(1, 3, 4, 6)
    torch.testing.assert_close(read, values, atol=1e-5, rtol=1e-5)


def test_smooth_basis_holds_matrices_and_bends() -> None:
    assert smooth_basis(6, 9, 2).shape == (54, 11)
    basis = smooth_basis(16, 16, 4).double()
    x, y = cell_centres(16, 16).double().unbind(dim=1)
    torch.testing.assert_close(basis[:, :3], torch.stack([x, y, torch.ones_like(x)], dim=1))
    bend = torch.sin(1.7 * math.pi * y + 0.4) * (1 - y)  # no sum of its functions, and near one
    error = basis @ torch.linalg.lstsq(basis, bend[:, None]).solution - bend[:, None]
    assert error.abs().max() < 0.02


def test_cell_centres_run_row_by_row_and_are_symmetric() -> None:
    centres = cell_centres(3, 5)
    assert centres.shape == (15, 2)
    torch.testing.assert_close(centres.flip(0), -centres)
    assert centres[1, 0] > centres[0, 0]
    assert centres[5, 1] > centres[0, 1]


def test_frame_features_are_circular() -> None:
    features = frame_features(8)
    steps = (features - features.roll(1, dims=0)).norm(dim=1)
    torch.testing.assert_close(steps, steps[:1].expand(8))  # the step from the last to the first is like any other


def test_neighbour_frames_wrap_within_each_clip() -> None:
    x = torch.arange(6.0).reshape(6, 1, 1, 1)  # two clips of three frames
    out = neighbour_frames(x, 3)[:, :, 0, 0]
    assert out.tolist() == [[2, 0, 1], [0, 1, 2], [1, 2, 0], [5, 3, 4], [3, 4, 5], [4, 5, 3]]


def test_attention_is_equation_one() -> None:
    query, key, value = torch.randn(2, 3, 5, 7), torch.randn(2, 3, 6, 7), torch.randn(2, 3, 6, 4)
    weights = torch.softmax(query @ key.transpose(-1, -2) / math.sqrt(7), dim=-1)
    torch.testing.assert_close(attention(query, key, value), weights @ value)


def test_timestep_embedding_tells_times_apart() -> None:
    embedded = timestep_embedding(torch.linspace(0, 1000, 101), 64)
    distances = torch.cdist(embedded, embedded) + torch.eye(101) * 10
    assert distances.min() > 0.3
