"""No reader of weights runs what a file says: pickles under every name that weights have, and folders with own code."""

import ast
import json
import os
import pickle
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from nanogen_core import Pipeline, build_pipeline
from nanogen_core.errors import DataError, NanoGenError
from nanogen_files import storage
from nanogen_files.pretrained import from_pretrained
from nanogen_files.weights import read_weights
from tests.hostile import Hostile, mark, variants, write_hostile

IMAGES = torch.zeros(1, 3, 32, 32)


@pytest.fixture
def bombs(tmp_path):
    """Hostile files; after the test none of them has run."""
    yield list(variants(tmp_path))
    assert not mark(tmp_path).exists()


def test_the_bombs_do_explode(bombs, tmp_path):
    """Or no test here could fail."""
    for file in (bomb for bomb in bombs if bomb.suffix != ".safetensors"):
        with pytest.raises(pickle.UnpicklingError):
            torch.load(file, weights_only=True)
        assert not mark(tmp_path).exists()
        with suppress(RuntimeError):  # an old file is found to be none of torch's once it has run
            torch.load(file, weights_only=False)
        assert mark(tmp_path).exists()
        mark(tmp_path).unlink()


# -- one file ----------------------------------------------------------------------------------------------------------


def published_network(file):
    from nanogen_dit.published.files import read_checkpoint

    read_checkpoint(file)


def rae_decoder(file):
    from nanogen_rae.decoder_files import read_decoder

    read_decoder(file)


def rae_statistics(file):
    from nanogen_rae.statistics import read_statistics

    read_statistics(str(file), (2, 1, 1))


def fid_network(file):
    from nanogen_fidelity.config import InceptionConfig
    from nanogen_fidelity.inception import Inception

    Inception(InceptionConfig(weights=str(file)))(IMAGES)


def timm_network(file):
    from nanogen_fidelity.vision import fill

    fill(torch.nn.Linear(1, 2), file)


def reference_statistics(file):
    from nanogen_fidelity.reference import Reference

    Reference(str(file)).moments(torch.nn.Identity())


def vqa_parts(file):
    from nanogen_textscore.vqa.checkpoint import part_of

    part_of([file], "mm_projector.")


FILES = [
    read_weights,
    storage.read_tensors,
    published_network,
    rae_decoder,
    rae_statistics,
    fid_network,
    timm_network,
    reference_statistics,
    vqa_parts,
]


@pytest.mark.parametrize("read", FILES, ids=lambda read: read.__name__)
def test_a_hostile_file_is_refused_in_one_sentence(bombs, read):
    for file in bombs:
        with pytest.raises(DataError, match=file.name) as error:
            read(file)
        assert "weights_only" not in str(error.value)


@pytest.mark.parametrize("package", ["nanogen_align.vgg:PerceptualDistance"])
@pytest.mark.parametrize("kind", ["pickle", "zip"])
def test_hostile_files_of_lpips_are_refused(tmp_path, package, kind):
    from nanogen_core.config import import_object

    for name in ("vgg16-397923af.pth", "vgg.pth"):
        write_hostile(tmp_path / name, mark(tmp_path), kind)
    with pytest.raises(DataError, match=r"vgg16-397923af\.pth"):
        import_object(package).load(str(tmp_path))
    assert not mark(tmp_path).exists()


def test_a_hostile_array_in_an_npz_is_refused(tmp_path):
    from nanogen_fidelity.reference import Reference

    for names in ("mu sigma", "features", "arr_0 arr_1"):
        file = tmp_path / f"{names}.npz"
        np.savez(file, **dict.fromkeys(names.split(), np.array([Hostile(mark(tmp_path))], dtype=object)))
        with pytest.raises(DataError, match=r"\.npz"):
            Reference(str(file)).moments(torch.nn.Identity())
    assert not mark(tmp_path).exists()


# -- saved pipelines, runs and evaluations -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pickle", "zip"])
def test_a_hostile_pipeline_is_refused(small, tmp_path, kind):
    build_pipeline(small).save(tmp_path)
    write_hostile(tmp_path / "backbone.safetensors", mark(tmp_path), kind)
    with pytest.raises(DataError, match=r"backbone\.safetensors is not a valid safetensors file"):
        Pipeline.load(tmp_path)
    assert not mark(tmp_path).exists()


@pytest.mark.parametrize("kind", ["pickle", "zip"])
def test_a_hostile_checkpoint_is_refused(small, tmp_path, kind):
    from nanogen_train.checkpoint import checkpoint

    checkpoint.save(tmp_path, 3, {"nets": {"weight": torch.zeros(2)}}, {})
    write_hostile(checkpoint.path_of(tmp_path, 3) / "nets.safetensors", mark(tmp_path), kind)
    with pytest.raises(DataError, match=r"nets\.safetensors is not a valid safetensors file"):
        checkpoint.load(tmp_path, 3)
    assert not mark(tmp_path).exists()


def test_a_hostile_member_of_prepared_latents_is_refused(tmp_path):
    from nanogen_data.precomputed.members import unpack

    content = bytearray(pickle.dumps(Hostile(mark(tmp_path))))
    with pytest.raises((ValueError, KeyError, TypeError)):
        unpack(content)
    assert not mark(tmp_path).exists()


# -- folders of models -------------------------------------------------------------------------------------------------

SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = {**SIZES, "image_size": 32, "patch_size": 8}
NAMES = ("pytorch_model.bin", "model.safetensors", "diffusion_pytorch_model.bin", "diffusion_pytorch_model.safetensors")


def text_encoder(folder):
    from transformers import BertConfig

    from nanogen_t2i.config import HFTextConfig
    from nanogen_t2i.encoder import HFText

    BertConfig(vocab_size=10, **SIZES).save_pretrained(folder)
    return lambda: HFText(HFTextConfig(path=str(folder))).weights()


def vision_encoder(folder):
    from transformers import Dinov2WithRegistersConfig

    from nanogen_rae.lookup import vision_encoder

    Dinov2WithRegistersConfig(**VISION).save_pretrained(folder)
    return lambda: vision_encoder("dinov2-vit-b", {"path": str(folder)}).encode(IMAGES)


def vae(folder):
    from diffusers import AutoencoderKL

    from nanogen_vae.config import VAEConfig
    from nanogen_vae.tokenizer import VAE

    AutoencoderKL(norm_num_groups=2, block_out_channels=(4,)).save_config(folder)
    return lambda: VAE(VAEConfig(path=str(folder))).encode(IMAGES)


def clip(folder):
    from PIL import Image
    from transformers import CLIPConfig, CLIPImageProcessorPil

    from nanogen_textscore.clip import Clip

    CLIPConfig(text_config=SIZES, vision_config=VISION).save_pretrained(folder)
    CLIPImageProcessorPil().save_pretrained(folder)
    return lambda: Clip(str(folder), option="clip").images([Image.new("RGB", (32, 32))])


def detector(folder):
    from transformers import Mask2FormerConfig

    from nanogen_textscore.config import Mask2FormerConfig as Options
    from nanogen_textscore.geneval.detector import Mask2Former

    Mask2FormerConfig().save_pretrained(folder)
    return lambda: Mask2Former(Options(path=str(folder))).classes


def answerer(folder):
    from PIL import Image
    from transformers import BlipConfig, BlipImageProcessorPil

    from nanogen_textscore.config import BlipVQAConfig
    from nanogen_textscore.dpg.answers import BlipVQA
    from nanogen_textscore.protocols import ImageKey

    BlipConfig(text_config=SIZES, vision_config=VISION).save_pretrained(folder)
    BlipImageProcessorPil().save_pretrained(folder)
    asked = (Image.new("RGB", (32, 32)), ["?"], ImageKey("0", 0))
    return lambda: BlipVQA(BlipVQAConfig(path=str(folder))).answer(*asked)


FOLDERS = [text_encoder, vision_encoder, vae, clip, detector, answerer]


@pytest.mark.parametrize("kind", ["pickle", "zip"])
@pytest.mark.parametrize("model", FOLDERS, ids=lambda model: model.__name__)
def test_a_hostile_folder_of_a_model_is_refused(tmp_path, model, kind):
    folder = tmp_path / "model"
    read = model(folder)
    for names in (NAMES[::2], NAMES):
        for name in names:
            write_hostile(folder / name, mark(tmp_path), kind)
        with pytest.raises(DataError, match="model"):
            read()
    assert not mark(tmp_path).exists()


@pytest.mark.parametrize("kind", ["pickle", "zip"])
def test_a_hostile_folder_of_timm_is_refused(tmp_path, kind, monkeypatch):
    """timm itself is not asked: the weights are read before it is handed any."""
    from nanogen_rae import source
    from nanogen_rae.lookup import vision_encoder

    monkeypatch.setattr(source, "_import_timm", lambda name: None)
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "vit", "num_features": 32}))
    for name in NAMES:
        write_hostile(tmp_path / name, mark(tmp_path), kind)
    with pytest.raises(DataError):
        vision_encoder("pe-vit-l", {"path": str(tmp_path)}).encode(IMAGES)
    assert not mark(tmp_path).exists()


# -- code beside a model -----------------------------------------------------------------------------------------------

CODE = """
from pathlib import Path
Path({mark!r}).touch()
"""
ASKS = {"AutoConfig": "own.C", "AutoModel": "own.M", "AutoTokenizer": ["own.T", None], "AutoProcessor": "own.P"}


@pytest.fixture
def with_code(tmp_path):
    """A folder of a model that only its own code can read."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config", "tokenizer_config", "processor_config", "preprocessor_config"):
        told = {"model_type": "own", "tokenizer_class": "Own", "processor_class": "Own", "auto_map": ASKS}
        (folder / f"{name}.json").write_text(json.dumps(told))
    (folder / "own.py").write_text(CODE.format(mark=str(mark(tmp_path))))
    yield folder
    assert not mark(tmp_path).exists()


@pytest.mark.parametrize("kind", ["AutoConfig", "AutoModel", "AutoTokenizer", "AutoProcessor", "AutoImageProcessor"])
def test_a_folder_that_asks_for_its_own_code_is_named_and_no_question_is_asked(with_code, kind, monkeypatch):
    import transformers

    monkeypatch.setattr("builtins.input", lambda *words: pytest.fail("a question was asked"))
    with pytest.raises((DataError, ValueError)) as error:
        from_pretrained(getattr(transformers, kind), with_code)
    assert str(with_code) in str(error.value)
    assert "trust_remote_code" not in str(error.value)


def test_a_text_encoder_with_code_of_its_own_is_one_sentence(with_code):
    from nanogen_t2i.config import HFTextConfig
    from nanogen_t2i.encoder import HFText

    with pytest.raises(NanoGenError, match="requires its own Python code .* which is never run"):
        HFText(HFTextConfig(path=str(with_code))).encode(["a"], 4)


def test_yes_is_no_answer_to_anything(with_code):
    """`yes |` before a command that loads such a folder."""
    script = "from nanogen_t2i.encoder import HFText, HFTextConfig as C; HFText(C(path={!r})).encode(['a'], 4)"
    ran = subprocess.run(
        [sys.executable, "-c", script.format(str(with_code))], input="y\n" * 100, text=True, capture_output=True
    )
    assert "requires its own Python code" in ran.stderr
    assert "[y/N]" not in ran.stdout + ran.stderr


FORBIDDEN = ("trust_remote_code=True", "weights_only=False", "pickle.load", "allow_pickle=True", "load_checkpoint(")


def test_no_code_of_this_project_trusts_remote_code_or_unpickles():
    """Every source file of the project: a new reader would be found here."""
    root = Path(__file__).parents[1]
    sources = [file for place in ("nanogen_core", "plugins") for file in (root / place).rglob("*.py")]
    assert len(sources) > 300
    found = []
    for file in sources:
        text, name = file.read_text(encoding="utf-8"), os.path.relpath(file, root)
        if "tests" in file.parts:
            continue
        given = [keyword for node in ast.walk(ast.parse(text)) for keyword in getattr(node, "keywords", [])]
        if any(keyword.arg == "trust_remote_code" and ast.unparse(keyword.value) != "False" for keyword in given):
            found.append(f"{name}: trust_remote_code")  # docstrings and messages may name it
        for word in ("weights_only=False", "pickle.load", "allow_pickle=True", "load_checkpoint("):
            found += [f"{name}: {word}"] if word in text else []
        loads = text.count("torch.load(")
        found += [f"{name}: torch.load"] if loads > text.count("weights_only=True") else []
    assert found == []


# -- other wrong files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [[torch.zeros(2)], torch.zeros(2), None, 3, "text", {}, {"a": 1}, {3: torch.zeros(2)}]
)
def test_a_torch_file_without_tensors_by_name_is_one_sentence(tmp_path, content):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(DataError, match=r"w\.pt contains .*: (save the state dict|give a file with a state dict)"):
        read_weights(tmp_path / "w.pt")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_with_their_name(tmp_path, suffix, number):
    path = tmp_path / f"w{suffix}"
    tensors = {"good": torch.zeros(3), "bad": torch.tensor([0.0, number]).bfloat16(), "whole": torch.arange(2)}
    torch.save(tensors, path) if suffix == ".pt" else storage.write_tensors(path, tensors)
    with pytest.raises(DataError, match=r"'bad' contains NaN or infinite values"):
        read_weights(path)


@pytest.mark.parametrize("wrapper", ["state_dict_ema", "model_ema", "state_dict", "model"])
def test_what_training_programs_wrap_is_unwrapped(tmp_path, wrapper):
    torch.save({"epoch": 3, wrapper: {"a": torch.ones(2)}, "args": "x"}, tmp_path / "w.pt")
    assert torch.equal(read_weights(tmp_path / "w.pt")["a"], torch.ones(2))


def test_a_prefix_chooses_and_is_taken_off(tmp_path):
    tensors = {"a.x": torch.ones(2), "b.x": torch.zeros(2)}
    torch.save(tensors, tmp_path / "w.pt")
    storage.write_tensors(tmp_path / "w.safetensors", tensors)
    for name in ("w.pt", "w.safetensors"):
        found = read_weights(tmp_path / name, prefix="a.")
        assert list(found) == ["x"]
        assert torch.equal(found["x"], torch.ones(2))


def test_a_saved_pipeline_with_nan_weights_is_refused(small, tmp_path):
    pipeline = build_pipeline(small)
    with torch.no_grad():
        next(pipeline.backbone.parameters()).view(-1)[0] = float("nan")
    pipeline.save(tmp_path)
    with pytest.raises(DataError, match=r"backbone\.safetensors: '.*' contains NaN or infinite values"):
        Pipeline.load(tmp_path)
