from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from edge_stickers.config import UNetConfig
from edge_stickers.errors import InputError
from edge_stickers.models.temporal import identity_parameters
from edge_stickers.models.unet import StickerUNet

SMALL = {
    "sample_size": 16, "widths": (16, 32), "up_blocks": (2, 1), "embed_dim": 32, "text_dim": 24, "pooled_dim": 8,
    "head_dim": 16, "still_head_dim": 8,
}  # fmt: skip


@pytest.fixture
def unet() -> StickerUNet:
    torch.manual_seed(0)
    return StickerUNet(**SMALL).eval()  # type: ignore[arg-type]


def randomise(unet: StickerUNet) -> StickerUNet:
    with torch.no_grad():
        for _, parameter in identity_parameters(unet):
            parameter.normal_(std=0.05)
    return unet


def inputs(unet: StickerUNet, clips: int, seed: int = 0) -> tuple[Tensor, ...]:
    g = torch.Generator().manual_seed(seed)
    context = unet.project_context(torch.randn(clips, 6, 24, generator=g), torch.ones(clips, 6))
    return (
        torch.randn(clips * 8, 8, 16, 16, generator=g),
        torch.rand(clips, generator=g) * 1000,
        context.detach(),
        torch.randn(clips, 8, 16, 16, generator=g),
        torch.rand(clips, generator=g),
    )


def test_what_is_read_of_the_still_follows_a_shift_told_by_the_field(unet: StickerUNet) -> None:
    """Detail has a short way out: looking two cells further left moves the prediction two cells to the right."""
    sample, *rest = inputs(unet, 1)
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if name.endswith("log_sharpness"):
                parameter.fill_(4.0)
        before = unet(sample, *rest)
        constant = unet.field.to_field.bias.view(2, -1, 9)[0, 2]  # of x, the term 1, at each moment
        constant[0] -= 2 * 2 / 16
        after = unet(sample, *rest)
    torch.testing.assert_close(after[..., 5:-2], before[..., 3:-4], atol=1e-3, rtol=1e-3)
    assert (after - before).abs().max() > 0.1


def test_an_untrained_denoiser_predicts_the_still(unet: StickerUNet) -> None:
    sample, timestep, context, still, strength = inputs(unet, 1)
    with torch.no_grad():
        unet.read.log_sharpness.fill_(4.0)
        prediction = unet(sample, timestep, context, still, strength)
    torch.testing.assert_close(prediction, still.expand_as(prediction), atol=1e-4, rtol=1e-4)


def test_fields_loop_and_follow_text_and_strength(unet: StickerUNet) -> None:
    randomise(unet)
    _, _, context, _, strength = inputs(unet, 2)
    with torch.no_grad():
        fields = unet.field(unet.told(context, strength)).reshape(2, 8, 2, -1)
        assert (fields[0] - fields[1]).abs().max() > 1e-3
        stronger = unet.field(unet.told(context, strength + 0.3)).reshape(fields.shape)
    assert (stronger - fields).abs().max() > 1e-4
    steps = (fields.roll(-1, dims=1) - fields).flatten(2).norm(dim=2)
    assert steps[:, -1].max() <= 1.5 * steps.max()  # the step over the seam is one of the others' kind


def test_clips_of_a_batch_do_not_mix(unet: StickerUNet) -> None:
    randomise(unet)
    both = inputs(unet, 2)
    with torch.no_grad():
        together = unet(*both)
        first = unet(both[0][:8], *(x[:1] for x in both[1:]))
    torch.testing.assert_close(together[:8], first, atol=1e-5, rtol=1e-4)


def test_turning_the_noise_in_time_changes_the_clip_by_more_than_a_turn(unet: StickerUNet) -> None:
    """Frames know their index: a model that did not could not loop from a given first frame."""
    randomise(unet)
    sample, *rest = inputs(unet, 1)
    with torch.no_grad():
        turned = unet(sample.roll(1, dims=0), *rest)
        straight = unet(sample, *rest).roll(1, dims=0)
    assert (turned - straight).abs().max() > 1e-3


@pytest.mark.parametrize("changed", range(5))
def test_every_input_matters(unet: StickerUNet, changed: int) -> None:
    randomise(unet)
    with torch.no_grad():
        one, other = list(inputs(unet, 1)), inputs(unet, 1, seed=1)
        before = unet(*one)
        one[changed] = other[changed]
        after = unet(*one)
    assert (before - after).abs().max() > 1e-4


def test_every_parameter_is_trained(unet: StickerUNet) -> None:
    randomise(unet)
    sample, timestep, _, still, strength = inputs(unet, 1)
    context = unet.project_context(torch.randn(1, 6, 24), torch.tensor([[1, 1, 1, 0, 0, 0]]))
    unet(sample, timestep, context, still, strength).square().mean().backward()
    idle = [name for name, p in unet.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    assert not idle


def test_padding_tokens_do_not_leak_text(unet: StickerUNet) -> None:
    mask = torch.tensor([[1, 1, 0, 0]])
    hidden = torch.randn(1, 4, 24)
    other = hidden.clone()
    other[:, 2:] += 5.0
    torch.testing.assert_close(unet.project_context(hidden, mask), unet.project_context(other, mask))


def test_half_precision_folder_reloads(unet: StickerUNet, tmp_path: Path) -> None:
    randomise(unet)
    unet.save_pretrained(tmp_path, safe_serialization=True)
    again = StickerUNet.from_pretrained(tmp_path, use_safetensors=True)
    example = inputs(unet, 1)
    with torch.no_grad():
        torch.testing.assert_close(again(*example), unet(*example))
    assert not list(tmp_path.glob("*.bin"))


def test_sizes_that_do_not_divide_are_refused() -> None:
    with pytest.raises(InputError, match="multiple of 4"):
        UNetConfig(sample_size=30)
