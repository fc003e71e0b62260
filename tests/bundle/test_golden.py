"""The golden tensors are what PyTorch gives, and whole although parts are left out."""

from __future__ import annotations

import numpy as np
import pytest

from edge_stickers.bundle.golden import CASES, GOLDEN, LEAST_CASES, Golden, GoldenCase, write_golden
from edge_stickers.bundle.reader import Bundle
from edge_stickers.errors import InputError
from edge_stickers.runtimes.opening import CLIP_COMPONENTS, open_pipeline
from edge_stickers.runtimes.reference import STICKERS, record_golden
from edge_stickers.sampling.noise import normal
from edge_stickers.sampling.schedule import Row


@pytest.fixture(scope="module")
def golden(tiny_bundle):
    return Golden.open(tiny_bundle / GOLDEN, Bundle.open(tiny_bundle).scheduler.steps)


def test_every_call_has_all_inputs_and_gives_its_outputs(golden, tiny_pipeline):
    engine = open_pipeline(tiny_pipeline)
    for component in CLIP_COMPONENTS:
        calls = list(golden.calls(component))
        assert len(calls) == 2 * (4 if component == "unet" else 1)
        for call in calls:
            outputs = engine.run(component, call.inputs)
            for name, expected in call.outputs.items():
                got = outputs[name] if call.frame is None else outputs[name][call.frame : call.frame + 1]
                tolerance = 5e-4 if call.frame is not None else 2e-5  # fp16 is stored of the frame
                np.testing.assert_allclose(got, expected, atol=tolerance)


def test_the_noise_is_that_of_the_seed(golden):
    call = next(iter(golden.calls("unet")))
    np.testing.assert_array_equal(call.inputs["sample"], normal(call.inputs["sample"].shape, seed=1))


def test_the_still_is_exact_in_bytes_and_real(golden):
    image = golden.clip("cat")[0]["image"]
    np.testing.assert_array_equal(np.rint(image * 255).astype(np.float32) / np.float32(255), image)
    assert 0.1 < (image[0, 3] > 0).mean() < 0.9


def test_our_cases_have_stickers_and_differ():
    assert len(CASES) >= LEAST_CASES
    for case in CASES:
        assert (STICKERS / f"{case.name}.svg").is_file()
    assert len({case.name for case in CASES}) == len({case.seed for case in CASES}) == len(CASES)


def test_cases_beyond_the_size_are_left_out_but_six_stay(tmp_path):
    cases = [GoldenCase(f"c{index}", "hops", index) for index in range(9)]
    large = np.zeros(4_500_000, np.uint8)
    tensors = {f"{case.name}/clip/0/out/image": large for case in cases}
    assert write_golden(tmp_path / "a", tensors, cases, steps=4, frame=4) == 6
    assert (tmp_path / "a").stat().st_size < 30_000_000
    huge = {key: np.zeros(6_000_000, np.uint8) for key in tensors}
    assert write_golden(tmp_path / "b", huge, cases, steps=4, frame=4) == 6


def test_a_table_with_fresh_noise_is_refused(tiny_pipeline, tmp_path):
    engine = open_pipeline(tiny_pipeline)
    with pytest.raises(InputError, match="without fresh noise"):
        record_golden(tmp_path / "g", engine, tiny_pipeline.tokenizer.backend_tokenizer, [Row(1000.0, 0.0, 1.0, d=0.1)])
    with pytest.raises(InputError, match="has no sticker dog"):
        cases = [GoldenCase("dog", "hops", 1)]
        tokenizer = tiny_pipeline.tokenizer.backend_tokenizer
        record_golden(tmp_path / "g", engine, tokenizer, [Row(1000.0, 0.0, 1.0)], cases=cases)
