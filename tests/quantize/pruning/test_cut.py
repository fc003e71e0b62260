"""A cut student is the student with these channels shut, in smaller tensors, and an ordinary folder."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from diffusers import DiffusionPipeline

from edge_stickers.errors import InputError
from edge_stickers.models.autoencoder import StickerAutoencoder
from edge_stickers.models.pipeline import load_pipeline, save_pipeline
from edge_stickers.models.unet import StickerUNet
from edge_stickers.quantize.pruning.choose import choose_units
from edge_stickers.quantize.pruning.cut import cut
from edge_stickers.quantize.pruning.structures import clip_flops, structures_of


@pytest.fixture(scope="module")
def pruned(student, structures, scores):
    fractions = {"unet": 0.3, "vae": 0.3}
    return cut(student, choose_units(structures, scores, totals=clip_flops(student, steps=4), fractions=fractions))


def unet_inputs(pipeline):
    torch.manual_seed(1)
    hidden, mask = torch.randn(1, 30, 32), torch.ones(1, 30, dtype=torch.long)
    noise, still = torch.randn(8, 12, 4, 4), torch.randn(1, 12, 4, 4)
    return noise, torch.tensor([500.0]), pipeline.unet.project_context(hidden, mask), still, torch.tensor([0.5])


def run(pipeline):
    channels = pipeline.unet.config.in_channels
    noise, time, context, still, strength = unet_inputs(pipeline)
    with torch.no_grad():
        return pipeline.unet(noise[:, :channels], time, context, still[:, :channels], strength)


@pytest.mark.parametrize("name", ["middle.attention", "down.1.attention", "down.1.text", "middle.text"])
def test_heads_that_go_are_heads_whose_way_out_is_shut(student, structures, name):
    assert next(s for s in structures if s.name == name).units == 2
    shut = copy.deepcopy(student)
    layer = shut.unet.get_submodule(name)
    with torch.no_grad():
        layer.to_out.weight[:, : layer.head_dim] = 0
    smaller = cut(student, {f"unet/{name}": [0]})
    torch.testing.assert_close(run(smaller), run(shut), atol=1e-5, rtol=1e-5)
    assert sum(p.numel() for p in smaller.unet.parameters()) < sum(p.numel() for p in student.unet.parameters())


def test_heads_of_the_still_attention_that_go_are_heads_whose_way_out_is_shut(student, structures):
    each = next(s for s in structures if s.name.endswith("still"))
    shut = copy.deepcopy(student)
    layer = shut.unet.get_submodule(each.name)
    with torch.no_grad():
        layer.to_out.weight[:, layer.head_dim :] = 0  # the second of two
    torch.testing.assert_close(run(cut(student, {f"unet/{each.name}": [1]})), run(shut), atol=1e-5, rtol=1e-5)


def test_a_temporal_layer_that_goes_is_one_that_adds_nothing(student, structures):
    each = next(s for s in structures if s.kind == "whole")
    shut = copy.deepcopy(student)
    with torch.no_grad():
        shut.unet.get_submodule(each.name).conv.weight.zero_()
        shut.unet.get_submodule(each.name).conv.bias.zero_()
    torch.testing.assert_close(run(cut(student, {f"unet/{each.name}": [0]})), run(shut), atol=1e-6, rtol=1e-6)


def test_a_block_normalises_the_channels_that_are_left(student, structures):
    """Against the block's formula with the rows left in written out."""
    each = next(s for s in structures if s.name == "down.0.block")
    goes = [0, 4, 8, 12]  # one of each group of four
    kept = [index for index in range(each.width) if index not in goes]
    block, smaller = each.module, cut(student, {f"unet/{each.name}": goes}).unet.get_submodule(each.name)
    x, embedding = torch.randn(2, block.conv1.in_channels, 4, 4), torch.randn(2, block.modulation.in_features)
    with torch.no_grad():
        h = F.conv2d(block.activation(block.norm1(x)), block.conv1.weight[kept], block.conv1.bias[kept], padding=1)
        h = F.group_norm(h, 4, block.norm2.weight[kept], block.norm2.bias[kept], block.norm2.eps)
        scale, shift = block.modulation(embedding).chunk(2, dim=1)
        h = h * (1 + scale[:, kept, None, None]) + shift[:, kept, None, None]
        wanted = block.skip(x) + F.conv2d(block.activation(h), block.conv2.weight[:, kept], block.conv2.bias, padding=1)
        torch.testing.assert_close(smaller(x, embedding), wanted, atol=1e-5, rtol=1e-5)


def test_channels_of_a_decoder_block_that_go_are_channels_that_are_shut(student, structures):
    each = next(s for s in structures if s.part == "vae" and s.width == 16)
    shut = copy.deepcopy(student)
    with torch.no_grad():
        shut.vae.get_submodule(each.name).conv2.weight[:, 8:] = 0
    smaller = cut(student, {f"vae/{each.name}": list(range(8, 16))})
    latents = torch.randn(2, student.vae.config.latent_channels, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(smaller.vae.decode(latents), shut.vae.decode(latents), atol=1e-6, rtol=1e-6)


def test_feed_forward_slices_go_from_every_layer_alike(student):
    from transformers import BertConfig, BertModel

    wide = copy.deepcopy(student)
    config = BertConfig.from_dict(
        {**student.text_encoder.config.to_dict(), "intermediate_size": 192, "num_hidden_layers": 2}
    )
    wide.text_encoder = BertModel(config, add_pooling_layer=False).eval()
    layers = [each for each in structures_of(wide, steps=4) if each.kind == "feed_forward"]
    assert [each.units for each in layers] == [3, 3]
    scores = {f"text_encoder/{each.name}": torch.arange(192.0).flip(0) for each in layers}
    totals, fractions = clip_flops(wide, steps=4), {"text_encoder": 0.05}
    goes = choose_units(layers, scores, totals=totals, fractions=fractions)
    assert list(goes.values()) == [list(range(128, 192))] * 2
    smaller = cut(wide, goes)
    assert smaller.text_encoder.config.intermediate_size == 128 and wide.text_encoder.config.intermediate_size == 192
    with torch.no_grad():
        for each in layers:
            each.module.output.dense.weight[:, 128:] = 0
        ids = torch.arange(12)[None]
        shut, ours = (each.text_encoder(input_ids=ids).last_hidden_state for each in (wide, smaller))
    torch.testing.assert_close(ours, shut, atol=1e-5, rtol=1e-5)


def test_the_student_itself_stays_as_it_is(student, pruned, tiny_pipeline):
    for name in ("unet", "vae", "text_encoder"):
        ours, theirs = getattr(student, name).state_dict(), getattr(tiny_pipeline, name).state_dict()
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert not student.unet.config.narrowed


def test_a_pruned_folder_loads_like_any_other_and_says_the_same(pruned, tmp_path):
    save_pipeline(pruned, tmp_path, half=False)
    torch.testing.assert_close(run(load_pipeline(tmp_path)), run(pruned))
    plain = StickerUNet.from_pretrained(tmp_path / "unet"), StickerAutoencoder.from_pretrained(tmp_path / "vae")
    for loaded, ours in zip(plain, (pruned.unet, pruned.vae), strict=True):
        assert dict(loaded.config.narrowed) == dict(ours.config.narrowed) != {}
        assert not any((value == 0).all() for key, value in loaded.state_dict().items() if key.endswith("weight"))
    assert DiffusionPipeline.load_config(tmp_path)["_class_name"] == "StickerPipeline"


def test_a_pruned_student_can_be_pruned_again(pruned):
    again = structures_of(pruned, steps=4)
    each = next(s for s in again if s.kind == "heads" and s.units > 1)
    smaller = cut(pruned, {f"unet/{each.name}": [0]})
    assert smaller.unet.config.narrowed[each.name] == each.units - 1
    assert {**smaller.unet.config.narrowed, each.name: 0} == {**pruned.unet.config.narrowed, each.name: 0}
    assert torch.isfinite(run(smaller)).all()


@pytest.mark.parametrize(
    ("part", "narrowed", "message"),
    [
        ("unet", {"down.9.block": 8}, "expected the name of a ResBlock or"),
        ("unet", {"conv_in": 7}, "expected the name of a ResBlock or"),
        ("unet", {"down.0.block": 0}, "'down.0.block': 0; expected a whole number of 1 or more"),
        ("unet", {"down.0.still": -1}, "expected a whole number of 0 or more"),
        ("vae", {"decoder.0": 3}, "expected the name of a ConvBlock in the model"),
        ("vae", {"decoder.2": -8}, "expected a whole number of 0 or more"),
        ("vae", {"decoder.2": 1.5}, "'decoder.2': 1.5; expected a whole number"),
    ],
)
def test_a_configuration_that_narrows_what_cannot_be(student, part, narrowed, message):
    module = getattr(student, part)
    with pytest.raises(InputError, match=message):
        type(module).from_config({**module.config, "narrowed": narrowed})
