"""The tokenizer against diffusers' AutoencoderRAE, its statistics against torch in float64, and its errors."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import AutoencoderRAE
from torch import Tensor, nn
from transformers import ViTMAEConfig
from transformers.models.vit_mae.modeling_vit_mae import ViTMAEDecoder

import nanogen_rae.tokenizer as tokenizer_module
from nanogen_core import build_pipeline
from nanogen_core.assembly import Assembly
from nanogen_core.config import resolve
from nanogen_core.errors import ConfigError, DataError, Incompatible, NanoGenError
from nanogen_core.tensors import Batch
from nanogen_core.testing import PluginContract, TokenizerContract
from nanogen_files import storage
from nanogen_files.structure import structure
from nanogen_import import import_checkpoint
from nanogen_rae.config import DecoderConfig, RAEConfig
from nanogen_rae.decoder import Decoder
from nanogen_rae.positions import positions
from nanogen_rae.quality import psnr, reconstruction
from nanogen_rae.sizes import SIZES, Size
from nanogen_rae.statistics import RunningStatistics, read_statistics
from nanogen_rae.tokenizer import RAE

SMALL = Size(width=16, depth=2, heads=2, hidden=24)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture
def small_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer_module, "SIZES", {**SIZES, "B": SMALL})


def write_statistics(file: Path, shape: tuple[int, ...], mean: float = 0.0, var: float = 1.0) -> str:
    storage.write_tensors(file, {"mean": torch.full(shape, mean), "var": torch.full(shape, var)})
    return str(file)


def published() -> Any:
    """A small AutoencoderRAE with 16 x 16 tokens (it stretches the positions of other grids)."""
    torch.manual_seed(0)
    model = AutoencoderRAE(
        encoder_hidden_size=64, encoder_num_hidden_layers=2, encoder_input_size=224, decoder_hidden_size=16,
        decoder_num_hidden_layers=2, decoder_num_attention_heads=2, decoder_intermediate_size=24,
    )  # fmt: skip
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def config(folder: Path, **decoder: Any) -> RAEConfig:
    options = {"path": str(folder / "encoder")}
    decoding = DecoderConfig(size="B", path=str(folder), **decoder)
    statistics = write_statistics(folder / "statistics.safetensors", (64, 16, 16))
    return RAEConfig(encoder_options=options, decoder=decoding, statistics=statistics)


@torch.no_grad()
def test_it_agrees_with_diffusers(tmp_path: Path, images: Tensor, small_decoder: None) -> None:
    """Resize, encoder, norm, statistics, decoder and patch order together, from a saved folder."""
    model = published()
    model.save_pretrained(tmp_path)
    model.encoder.save_pretrained(tmp_path / "encoder")
    rae = RAE(config(tmp_path), image_size=256)
    latents = model.encode((images + 1) / 2).latent
    torch.testing.assert_close(rae.encode(images), latents, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close((rae.decode(latents) + 1) / 2, model.decode(latents).sample, rtol=1e-3, atol=1e-4)


def original() -> dict[str, Tensor]:
    """State dict of a decoder with ViT-MAE's names, as in the original repository."""
    state = {name.removeprefix("decoder."): value for name, value in published().decoder.state_dict().items()}
    table = positions(16, 16)[None]
    return {**{_mae_name(name): value for name, value in state.items()}, "decoder_pos_embed": table}


def loaded(file: Path, **decoder: Any) -> RAE:
    """A RAE with the decoder of a file and identity statistics."""
    rae = RAE(RAEConfig(decoder=DecoderConfig(size="B", path=str(file), **decoder)), image_size=256)
    rae.encoder = SimpleNamespace(width=64, grid=lambda size: 16, mean=MEAN, std=STD)
    rae.set_decoder(rae.new_decoder())
    return rae


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@torch.no_grad()
@pytest.mark.parametrize("layout", ["decoder", "checkpoint", "wrapped"])
def test_the_original_repositorys_files(tmp_path: Path, small_decoder: None, layout: str) -> None:
    """A bare decoder or a training checkpoint against diffusers' class, which decodes as the original."""
    state, file = original(), tmp_path / "model.pt"
    whole = {f"decoder.{name}": value for name, value in state.items()} | {"encoder.model.weight": torch.ones(3)}
    other = {name: torch.zeros_like(value) for name, value in whole.items()}
    if layout == "wrapped":
        whole = {f"module._orig_mod.{name}": value for name, value in whole.items()}
    checkpoint = {"step": 3, "epoch": 1, "model": other, "ema": whole, "optimizer": {"state": {}}, "scheduler": None}
    torch.save(state if layout == "decoder" else checkpoint, file)
    latents, model = torch.randn(2, 64, 16, 16), published()
    pixels = model.decoder.unpatchify(model.decoder(latents.flatten(2).mT).logits)
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (MEAN, STD))
    for output, wanted in {"pixels": pixels, "normalised": pixels * std + mean}.items():
        rae = loaded(file, output=output)
        torch.testing.assert_close(rae.decode_tokens(rae._decoder, latents), wanted * 2 - 1, rtol=1e-3, atol=1e-4)
    with pytest.raises(
        ConfigError, match=r"model.pt does not declare.*'normalised' for.*original.*'pixels' for.*RAEv2"
    ):
        loaded(file)


def test_the_weights_of_a_checkpoint_are_chosen(tmp_path: Path, small_decoder: None) -> None:
    state, file = original(), tmp_path / "ep-last.pt"
    moved = {name: value + (name != "decoder_pos_embed") for name, value in state.items()}
    torch.save({"model": moved, "ema": state}, file)
    heads = {weights: loaded(file, output="pixels", weights=weights)._decoder.head.bias for weights in ("ema", "model")}
    torch.testing.assert_close(heads["ema"], state["decoder_pred.bias"])
    torch.testing.assert_close(heads["model"], state["decoder_pred.bias"] + 1)
    torch.save({"model": state}, file)
    with pytest.raises(DataError, match="no 'ema' weights. Set `tokenizer.decoder.weights` to 'model'"):
        loaded(file, output="pixels")


def test_a_decoder_of_another_grid_is_refused(tmp_path: Path, small_decoder: None) -> None:
    """A decoder for 512 pixels has weights of the same shapes but 32 x 32 positions."""
    for number, table in enumerate((positions(16, 32)[None], torch.rand(1, 257, 16))):
        torch.save({**original(), "decoder_pos_embed": table}, tmp_path / f"{number}.pt")
        with pytest.raises(DataError, match=r"is not the sine-cosine table of 256 tokens"):
            loaded(tmp_path / f"{number}.pt", output="pixels")


def test_importing_a_decoder_names_the_option(tmp_path: Path) -> None:
    whole = {f"decoder.{name}": value for name, value in original().items()}
    for number, content in enumerate((original(), {"model": whole, "ema": whole, "step": 1})):
        torch.save(content, tmp_path / f"{number}.pt")
        with pytest.raises(ConfigError, match=r"decoder of a RAE.*`tokenizer.decoder.path`.*'normalised'.*'pixels'"):
            import_checkpoint(tmp_path / f"{number}.pt")
    torch.save({"ema": {"blocks.0.attn.q.weight": torch.zeros(1)}}, tmp_path / "other.pt")
    with pytest.raises(DataError, match="no network of DiffusionBench"):
        import_checkpoint(tmp_path / "other.pt")


class Planted:
    """Creates a file when it is unpickled."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("planted"),))


def test_a_file_with_code_in_it_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"ema": original(), "config": Planted()}, tmp_path / "model.pt")
    with pytest.raises(DataError, match="contains pickled Python objects"):
        loaded(tmp_path / "model.pt", output="pixels")
    assert not Path("planted").exists()


def test_a_diffusers_folder_declares_its_output(tmp_path: Path, small_decoder: None) -> None:
    published().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"`output: normalised`.*'pixels'. Remove the option"):
        loaded(tmp_path, output="pixels")


def _mae_name(name: str) -> str:
    for short, long in {"q": "query", "k": "key", "v": "value"}.items():
        name = name.replace(f"attention.to_{short}.", f"attention.attention.{long}.")
    return name.replace("attention.to_out.0.", "attention.output.dense.")


@pytest.mark.parametrize("grid", [2, 5])
def test_positions_are_those_of_vit_mae(grid: int) -> None:
    options = {"decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2, "decoder_intermediate_size": 8}
    theirs = ViTMAEDecoder(ViTMAEConfig(decoder_hidden_size=24, **options), grid * grid)
    torch.testing.assert_close(positions(24, grid), theirs.decoder_pos_embed[0], rtol=0, atol=1e-6)


def test_the_published_size_has_its_parameters() -> None:
    with torch.device("meta"):
        decoder = Decoder(768, 16, 16, SIZES["XL"])
    block = 4 * (1152 * 1152 + 1152) + 2 * 1152 * 4096 + 4096 + 1152 + 4 * 1152
    rest = (768 * 1152 + 1152) + 1152 + 2 * 1152 + (1152 * 768 + 768)
    assert sum(parameter.numel() for parameter in decoder.parameters()) == 28 * block + rest


def test_initial_weights_are_the_published_ones() -> None:
    """torch's defaults: weights and biases uniform with the bound 1 / sqrt(inputs)."""
    torch.manual_seed(0)
    decoder = Decoder(768, 16, 16, Size(width=192, depth=2, heads=4, hidden=384))
    maps = [module for module in decoder.modules() if isinstance(module, nn.Linear)]
    assert len(maps) == 2 + 2 * 6
    for module in maps:
        bound = module.in_features**-0.5
        for tensor in (module.weight.detach(), module.bias.detach()):
            assert float(tensor.abs().max()) <= bound
            assert float(tensor.std()) == pytest.approx(bound / 3**0.5, rel=0.15)
    assert not decoder.class_token.any()


# -- statistics ------------------------------------------------------------------------------------------------------


def test_running_statistics_agree_with_torch() -> None:
    tokens = torch.randn(23, 4, 2, 2, generator=torch.Generator().manual_seed(0)) * 3 + 1000
    running = RunningStatistics()
    for chunk in tokens.split(5):
        running.update(chunk)
    statistics = running.result()
    torch.testing.assert_close(statistics.mean, tokens.double().mean(dim=0).float())
    torch.testing.assert_close(statistics.var, tokens.double().var(dim=0, correction=0).float())


def test_measured_statistics_make_zero_mean_and_unit_variance(tmp_path: Path, images: Tensor) -> None:
    rae = openmoji()
    batches = [Batch(torch.arange(2), part) for part in torch.rand(4, 2, 3, 64, 64) * 2 - 1]
    file = tmp_path / "statistics.safetensors"
    assert rae.compute_statistics(batches, file) == 8
    standard = RAE(RAEConfig(encoder="openmoji-classifier", statistics=str(file)), image_size=64)
    latents = torch.cat([standard.encode(batch.images) for batch in batches])
    torch.testing.assert_close(latents.mean(dim=0), torch.zeros(96, 8, 8), rtol=0, atol=1e-3)
    assert abs(float(latents.var(dim=0, correction=0).mean()) - 1) < 0.02


def test_no_images_have_no_statistics(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="statistics need images|no images to reconstruct"):
        openmoji().compute_statistics([], tmp_path / "statistics.safetensors")


def test_published_statistics_with_a_batch_axis(tmp_path: Path) -> None:
    torch.save({"mean": torch.ones(1, 4, 2, 2), "var": torch.ones(1, 4, 2, 2) * 4}, tmp_path / "stat.pt")
    found = read_statistics(str(tmp_path / "stat.pt"), (4, 2, 2))
    torch.testing.assert_close(found.apply(torch.full((1, 4, 2, 2), 5.0)), torch.full((1, 4, 2, 2), 2.0))


def test_missing_or_foreign_statistics_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nanogen data stats"):
        openmoji().encode(torch.zeros(1, 3, 64, 64))
    foreign = write_statistics(tmp_path / "other.safetensors", (768, 16, 16))
    with pytest.raises(DataError, match=r"\(768, 16, 16\).*\(96, 8, 8\)"):
        RAE(RAEConfig(encoder="openmoji-classifier", statistics=foreign), image_size=64).encode(
            torch.zeros(1, 3, 64, 64)
        )
    storage.write_tensors(tmp_path / "var.safetensors", {"mean": torch.zeros(4, 2, 2), "var": torch.ones(4, 1, 1)})
    with pytest.raises(DataError, match=r"The var in .* has the shape \(4, 1, 1\), but .* have \(4, 2, 2\)"):
        read_statistics(str(tmp_path / "var.safetensors"), (4, 2, 2))
    storage.write_tensors(tmp_path / "neither.safetensors", {"std": torch.ones(1)})
    with pytest.raises(DataError, match="lacks `mean` or `var`"):
        read_statistics(str(tmp_path / "neither.safetensors"), (4, 2, 2))


# -- what is known without weights, and what is refused --------------------------------------------------------------


def openmoji(**options: Any) -> RAE:
    return RAE(RAEConfig(encoder="openmoji-classifier", **options), image_size=64)


@pytest.mark.parametrize(("encoder", "width"), [("dinov2-vit-b", 768), ("pe-vit-l", 1024), ("dinov3-vit-b16", 768)])
def test_the_recipes_latents_on_a_machine_without_weights(encoder: str, width: int) -> None:
    parts = Assembly(resolve({"task": "imagenet", "method": "rae", "tokenizer": {"encoder": encoder}}))
    assert parts["latent"].shape == (width, 16, 16)
    assert parts["latent"].factor == 16
    assert parts["latent"].patch_size == 1
    assert parts["objective"].shift == pytest.approx((width / 16) ** 0.5)


def test_a_recipe_builds_on_the_meta_device() -> None:
    options = {"dataset": {"name": "openmoji"}, "image_size": 256, "backbone": {"name": "ddt", "size": "tiny"}}
    with torch.device("meta"):
        pipeline = build_pipeline({"task": "imagenet", "method": "rae", **options}, device="meta")
    assert pipeline.latent.shape == (768, 16, 16)


def test_a_grid_that_makes_no_equal_patches_is_refused() -> None:
    with pytest.raises(Incompatible, match="7 x 7 tokens"):
        RAE(RAEConfig(encoder="convnextv2-b"), image_size=256).latent(256)
    finer = RAEConfig(encoder="convnextv2-b", encoder_options={"side": 512})
    assert RAE(finer, image_size=256).latent(256).shape == (1024, 16, 16)


def test_an_encoder_without_vision_is_refused() -> None:
    with pytest.raises(NanoGenError, match="Did you mean 'dinov2-vit-b'"):
        structure({"encoder": "dinov2-vit-bb"}, RAEConfig, "tokenizer")
    with pytest.raises(NanoGenError, match="There is no vision_encoder 'qwen3-0.6b'.* Installed: "):
        structure({"encoder": "qwen3-0.6b"}, RAEConfig, "tokenizer")
    with pytest.raises(ConfigError, match="tiny, B, L, XL"):
        structure({"decoder": {"size": "XXL"}}, RAEConfig, "tokenizer")


def test_decoder_weights_that_are_missing_or_foreign(tmp_path: Path) -> None:
    statistics = write_statistics(tmp_path / "statistics.safetensors", (96, 8, 8))
    latents = torch.zeros(1, 96, 8, 8)
    with pytest.raises(DataError, match="no decoder\\."):
        openmoji(statistics=statistics).decode(latents)
    with pytest.raises(DataError, match="no decoder weights at"):
        openmoji(statistics=statistics, decoder=DecoderConfig(size="tiny", path=str(tmp_path / "no"))).decode(latents)
    with pytest.raises(DataError, match="lacks the tensor .* Use weights of this configuration"):
        openmoji(statistics=statistics, decoder=DecoderConfig(size="tiny", path=statistics)).decode(latents)


def test_quality_of_a_perfect_and_of_a_shifted_image() -> None:
    images = torch.zeros(2, 3, 8, 8)
    torch.testing.assert_close(psnr(images + 0.2, images), torch.full((2,), 20.0))

    class Perfect:
        encode = decode = staticmethod(lambda x: x)

    found = reconstruction(Perfect(), [Batch(torch.arange(2), images)])
    assert found == {"psnr": pytest.approx(106.0, abs=0.1), "l1": 0.0, "images": 2}


# -- contracts -------------------------------------------------------------------------------------------------------


class TestPlugin(PluginContract):
    @pytest.fixture
    def manifest(self) -> str:
        return "nanogen_rae.plugin"


class TestTokenizer(TokenizerContract):
    image_size, wrong_size, tolerance = 64, 60, 1e-3

    @pytest.fixture
    def tokenizer(self, tmp_path: Path) -> RAE:
        torch.manual_seed(0)
        statistics = write_statistics(tmp_path / "statistics.safetensors", (96, 8, 8))
        rae = openmoji(statistics=statistics, decoder=DecoderConfig(size="tiny"))
        rae.set_decoder(rae.new_decoder())
        return rae
