"""A student small enough for tests: 32-pixel frames, random weights, nothing at its identity initialisation."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

TINY_WORDS = ("the", "cat", "hops", "waves", "spins", "rocket", "moves", "up")


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Threads that wait for each other over tiny tensors make a busy machine a hundred times slower."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_pipeline(one_thread):
    """An untrained `StickerPipeline` of two narrow levels, every zero-initialised parameter randomised."""
    from diffusers import FlowMatchEulerDiscreteScheduler
    from transformers import BertConfig, BertModel

    from edge_stickers.config import MAX_TOKENS, AutoencoderConfig, UNetConfig
    from edge_stickers.models.autoencoder import StickerAutoencoder
    from edge_stickers.models.pipeline import StickerPipeline
    from edge_stickers.models.unet import StickerUNet

    torch.manual_seed(0)
    tokenizer = _tiny_tokenizer()
    bert = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=MAX_TOKENS,
    )
    unet = UNetConfig(
        sample_size=4,
        widths=(16, 32),
        up_blocks=(1, 1),
        embed_dim=32,
        text_dim=32,
        pooled_dim=8,
        head_dim=16,
        still_heads=2,
        still_head_dim=8,
        norm_groups=4,
    )
    autoencoder = AutoencoderConfig(
        encoder_widths=(8, 16), encoder_blocks=(1, 1), decoder_widths=(8, 16), decoder_blocks=(1, 1)
    )
    pipeline = StickerPipeline(
        unet=StickerUNet(**asdict(unet)),
        vae=StickerAutoencoder(**asdict(autoencoder)),
        text_encoder=BertModel(bert, add_pooling_layer=False).eval(),
        tokenizer=tokenizer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0),
    )
    for part in (pipeline.unet, pipeline.vae):
        part.eval()
        for parameter in part.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.05)
    return pipeline


@pytest.fixture(scope="session")
def tiny_model(tiny_pipeline, tmp_path_factory) -> Path:
    """The folder of that student."""
    from edge_stickers.models.pipeline import save_pipeline

    folder = tmp_path_factory.mktemp("tiny") / "model"
    save_pipeline(tiny_pipeline, folder, half=False)
    return folder


@pytest.fixture(scope="session")
def discs(tmp_path_factory) -> Path:
    """Forty drawings of two colours to train on; with so many, every split has some."""
    folder = tmp_path_factory.mktemp("discs")
    for number in range(40):
        (folder / f"disc-{number}.svg").write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 36 36"><circle cx="18" cy="18" r="{8 + number % 9}" '
            f'fill="#C{number % 10}4433"/><path d="M18 4h9v9z" fill="#2244{number + 10}"/></svg>'
        )
    return folder


@pytest.fixture
def tiny_sentences(monkeypatch) -> None:
    """Motions told in words that the tiny tokenizer has: it would spell all others, past its 30 tokens."""
    from edge_stickers.data import dataset

    verbs = ("hops", "waves", "spins", "moves up")
    monkeypatch.setattr(
        dataset, "caption", lambda motion, name, rng, phrasings: f"the cat {verbs[int(rng.integers(4))]}"
    )


@pytest.fixture(scope="session")
def torchscript_runtime():
    """The runtime "onnx" runs TorchScript programs instead, and converting to it traces: quick, and whole otherwise.

    All other targets stay as they are.

    Yields the converter, which takes what `edge_stickers.convert.convert` takes.
    """
    import edge_stickers.convert as converter
    from edge_stickers.runtimes.base import RUNTIMES

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent / "runtimes")
        runtime = RUNTIMES["onnx"]
        was = runtime.opener, runtime.modules
        object.__setattr__(runtime, "opener", "doubles:open_torchscript")
        object.__setattr__(runtime, "modules", ("torch",))
        convert = converter.convert

        def trace_onnx(pipeline, *, targets, **options):
            return (trace_components if list(targets) == ["onnx"] else convert)(pipeline, targets=targets, **options)

        patch.setattr(converter, "convert", trace_onnx)
        yield trace_components
        object.__setattr__(runtime, "opener", was[0])
        object.__setattr__(runtime, "modules", was[1])


def trace_components(pipeline, *, targets, components, folder, recipe, on_done, **_):
    """What a converter does, with `torch.jit.trace`."""
    from edge_stickers.models.components import component_modules, component_specs

    artifacts = []
    specs, modules = component_specs(pipeline), component_modules(pipeline)
    for target in targets:
        for name in components:
            path = Path(target) / name / "model.ts"
            (folder / path).parent.mkdir(parents=True)
            torch.jit.trace(modules[name], specs[name].example(), check_trace=False).save(str(folder / path))
            artifacts.append(
                SimpleNamespace(
                    component=name,
                    target=target,
                    backend="cpu",
                    recipe="fp32" if recipe is None else recipe.name,
                    files=(path,),
                    inputs=specs[name].inputs,
                    outputs=specs[name].outputs,
                    delegate_calls=None,
                    undelegated={},
                    seconds=0.1,
                    reused=False,
                    decisions=(),
                    mapped=(),
                    bytes=(folder / path).stat().st_size,
                )
            )
            on_done(SimpleNamespace(spec=specs[name], target=SimpleNamespace(name=target)))
    return artifacts


@pytest.fixture(scope="session")
def tiny_cases():
    """Two golden cases whose prompts the tiny tokenizer takes."""
    from edge_stickers.bundle.golden import GoldenCase

    return GoldenCase("cat", "the cat hops", 1), GoldenCase("rocket", "the rocket moves up", 2, 1.0)


@pytest.fixture(scope="session")
def tiny_bundle(torchscript_runtime, tiny_model, tiny_cases, tmp_path_factory) -> Path:
    """A bundle of that student for that runtime. Copy it before you change it."""
    from edge_stickers.build import build

    out = tmp_path_factory.mktemp("tiny") / "bundle"
    assert build(tiny_model, ["onnx"], out, cases=tiny_cases, threads=1).passed
    return out


def _tiny_tokenizer():
    from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
    from tokenizers.models import WordPiece
    from transformers import PreTrainedTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *TINY_WORDS, *letters, *(f"##{c}" for c in letters)]
    pieces += [f"[unused{index}]" for index in range(64)]  # `ComponentSpec.example` draws ids below 100
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
