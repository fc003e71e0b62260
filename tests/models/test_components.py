from __future__ import annotations

import torch

from edge_stickers.models.components import TextEncoderComponent, component_modules, component_specs
from edge_stickers.models.unet import StickerUNet
from edge_stickers.spec import COMPONENTS


def test_parts_take_and_give_what_their_specs_say(tiny_pipeline) -> None:
    modules, specs = component_modules(tiny_pipeline), component_specs(tiny_pipeline)
    assert tuple(modules) == tuple(specs) == COMPONENTS
    for name, module in modules.items():
        with torch.no_grad():
            out = module(*specs[name].example())
        assert tuple(out.shape) == specs[name].outputs[0].shape


def test_the_text_part_is_the_encoder_with_its_own_mask(tiny_pipeline) -> None:
    unet: StickerUNet = tiny_pipeline.unet
    ids = torch.tensor([[2, 5, 6, 7, 3, 0, 0, 0]])
    mask = (ids != 0).long()
    part = TextEncoderComponent(tiny_pipeline.text_encoder, unet).eval()
    with torch.no_grad():
        hidden = tiny_pipeline.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        torch.testing.assert_close(part(ids, mask), unet.project_context(hidden, mask), atol=1e-5, rtol=1e-4)
