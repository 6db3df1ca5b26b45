"""VQAScore: wording, tokens, probabilities, and the models against transformers called directly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import exp, log, sqrt
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from nanogen_core.errors import ConfigError, DataError, NanoGenError, UnknownName
from nanogen_core.tensors import Batch
from nanogen_files.images import to_tensor
from nanogen_textscore.config import ChatVQAConfig, ClipT5Config, GenAIBenchConfig, VQAScoreConfig
from nanogen_textscore.vqa.chat import ChatVQA
from nanogen_textscore.vqa.clip_t5 import ClipT5
from nanogen_textscore.vqa.genai import by_skill, read_prompts, read_skills
from nanogen_textscore.vqa.metric import GenAIBench, VQAScore
from nanogen_textscore.vqa.probability import answer_probability, token_probability
from nanogen_textscore.vqa.wording import padded_square

VISION = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}


def noise(seed: int, size: tuple[int, int] = (24, 16)) -> Image.Image:
    """A picture of random pixels, width by height."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (size[1], size[0], 3), generator=generator, dtype=torch.uint8)
    return Image.fromarray(pixels.numpy())


def as_images(pictures: Sequence[Image.Image]) -> torch.Tensor:
    return torch.stack([to_tensor(one) for one in pictures])


def test_the_score_is_the_geometric_mean_of_the_answers_tokens():
    first, second = torch.tensor([log(0.5), log(0.3), log(0.2)]), torch.tensor([log(0.1), log(0.8), log(0.1)])
    found = answer_probability(torch.stack([first, second]), torch.tensor([0, 1]))
    assert found == pytest.approx(sqrt(0.5 * 0.8))
    assert token_probability(first, 2) == pytest.approx(0.2)


@pytest.mark.parametrize("size", [(4, 2), (2, 4), (5, 2), (3, 3)])
def test_a_picture_stands_in_the_middle_of_its_square(size):
    square = padded_square(Image.new("RGB", size, (9, 9, 9)), (1, 2, 3))
    side = max(size)
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    inside = {(x, y) for x in range(left, left + size[0]) for y in range(top, top + size[1])}
    for x in range(side):
        for y in range(side):
            assert square.getpixel((x, y)) == ((9, 9, 9) if (x, y) in inside else (1, 2, 3))


@pytest.fixture(scope="session")
def parts():
    """The networks of a small CLIP-FlanT5, with an output matrix of its own."""
    from transformers import CLIPVisionConfig, CLIPVisionModel, T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 2, "num_heads": 4}
    t5 = T5ForConditionalGeneration(
        T5Config(**sizes, tie_word_embeddings=False, feed_forward_proj="gated-gelu", decoder_start_token_id=0)
    )
    t5.lm_head.weight = torch.nn.Parameter(torch.randn(40, 16))
    projector = torch.nn.Sequential(torch.nn.Linear(16, 16), torch.nn.GELU(), torch.nn.Linear(16, 16))
    vision = CLIPVisionModel(CLIPVisionConfig(**VISION, image_size=16, patch_size=8))
    return t5.eval(), projector.eval(), vision.eval()


@pytest.fixture(scope="session")
def vision_folder(tmp_path_factory, clip_folder) -> Path:
    """A CLIP like the one that the checkpoint names, with other weights than the tuned ones."""
    return clip_folder


def checkpoint(folder: Path, parts, vision_folder: Path) -> dict[str, torch.Tensor]:
    """The published names of all weights, and the configuration in the folder."""
    t5, projector, vision = parts
    facts = {"model_type": "clip_t5", "architectures": ["CLIPT5ForConditionalGeneration"], "tie_word_embeddings": False}
    towers = {"mm_vision_tower": str(vision_folder), "mm_projector_type": "mlp2x_gelu", "mm_hidden_size": 16}
    content = {**t5.config.to_dict(), **facts, **towers}
    (folder / "config.json").write_text(json.dumps(content))
    weights = {name: value for name, value in t5.state_dict().items() if not name.endswith("embed_tokens.weight")}
    weights |= {f"mm_projector.{name}": value for name, value in projector.state_dict().items()}
    # the published checkpoints have names of before transformers 5
    names = {name: f"vision_model.{name.removeprefix('vision_model.')}" for name in vision.state_dict()}
    weights |= {f"vision_tower.vision_tower.{names[name]}": value for name, value in vision.state_dict().items()}
    return {name: value.detach().clone() for name, value in weights.items()}


@pytest.fixture(scope="session")
def clip_t5_folder(tmp_path_factory, parts, vision_folder) -> Path:
    folder = tmp_path_factory.mktemp("clip-t5")
    save_file(checkpoint(folder, parts, vision_folder), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def clip_t5(folder: Path, tokenizer: Path, **more) -> ClipT5:
    return ClipT5(ClipT5Config(path=str(folder), tokenizer=str(tokenizer), dtype="float32", **more))


def directly(parts, tokenizer_folder: Path, vision_folder: Path, picture: Image.Image, text: str, vision=None) -> float:
    """The score through transformers alone, the probabilities multiplied one by one."""
    from transformers import AutoTokenizer, CLIPImageProcessorPil

    t5, projector, tuned = parts
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    before = (
        "A chat between a curious user and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the user's questions. USER: "
    )
    after = f'\nDoes this figure show "{text}"? Please answer yes or no. ASSISTANT: '
    side = max(picture.size)
    square = Image.new("RGB", (side, side), (122, 116, 104))
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    processor = CLIPImageProcessorPil.from_pretrained(vision_folder)
    pixels = processor(images=square, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        seen = (vision or tuned)(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]
        words = [t5.shared(torch.tensor([tokenizer(part)["input_ids"]])) for part in (before, after)]
        states = torch.cat([words[0], projector(seen), words[1]], dim=1)
        encoded = t5.encoder(inputs_embeds=states).last_hidden_state
        yes, end = tokenizer("Yes")["input_ids"]
        decoded = t5.decoder(input_ids=torch.tensor([[0, yes]]), encoder_hidden_states=encoded).last_hidden_state[0]
        chances = (decoded @ t5.lm_head.weight.T)[:, : len(tokenizer)].double().softmax(-1)
    return float((chances[0, yes] * chances[1, end]).sqrt())


def test_clip_t5_is_its_parts_called_directly(parts, clip_t5_folder, t5_tokenizer_folder, vision_folder):
    one = clip_t5(clip_t5_folder, t5_tokenizer_folder)
    scores = []
    for seed, text in enumerate(["a red dog", "photo of a mouse", "dog"]):
        picture = noise(seed, (24, 10 + 10 * seed))
        expected = directly(parts, t5_tokenizer_folder, vision_folder, picture, text)
        scores.append(one.score(picture, text))
        assert scores[-1] == pytest.approx(expected, rel=1e-5)
    assert len(set(scores)) == 3
    assert one.settings["question"].startswith("Does this figure show")
    json.dumps(one.settings)


def test_pytorch_shards_are_read_too(parts, clip_t5_folder, t5_tokenizer_folder, vision_folder, tmp_path):
    weights = checkpoint(tmp_path, parts, vision_folder)
    names = sorted(weights)
    shards = {"pytorch_model-00001-of-00002.bin": names[::2], "pytorch_model-00002-of-00002.bin": names[1::2]}
    for file, those in shards.items():
        torch.save({name: weights[name] for name in those}, tmp_path / file)
    places = {name: file for file, those in shards.items() for name in those}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    whole, split = (clip_t5(folder, t5_tokenizer_folder) for folder in (clip_t5_folder, tmp_path))
    assert split.score(noise(0), "a dog") == whole.score(noise(0), "a dog")


def test_without_a_tuned_tower_the_clip_that_it_names_is_taken(parts, t5_tokenizer_folder, vision_folder, tmp_path):
    from transformers import CLIPVisionModel

    weights = checkpoint(tmp_path, parts, vision_folder)
    remaining = {name: value for name, value in weights.items() if not name.startswith("vision_tower.")}
    save_file(remaining, tmp_path / "model.safetensors", metadata={"format": "pt"})
    found = clip_t5(tmp_path, t5_tokenizer_folder).score(noise(0), "a dog")
    vision = CLIPVisionModel.from_pretrained(vision_folder).eval()
    expected = directly(parts, t5_tokenizer_folder, vision_folder, noise(0), "a dog", vision)
    assert found == pytest.approx(expected, rel=1e-5)


def damaged(folder: Path, clip_t5_folder: Path, *, without: str) -> Path:
    weights = load_file(clip_t5_folder / "model.safetensors")
    remaining = {name: value for name, value in weights.items() if not name.startswith(without)}
    save_file(remaining, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_bytes((clip_t5_folder / "config.json").read_bytes())
    return folder


@pytest.mark.parametrize(
    ("without", "sentence"),
    [
        ("mm_projector.", "has no weights mm_projector"),
        ("encoder.block.1.layer.0", "lacks .* weights of T5ForConditionalGeneration, such as encoder.block.1"),
        ("vision_tower.vision_tower.vision_model.encoder.layers.1", "lacks .* weights of CLIPVisionModel"),
        ("lm_head", "has no weights lm_head"),
    ],
)
def test_a_missing_weight_is_an_error_and_never_a_random_number(
    clip_t5_folder, t5_tokenizer_folder, tmp_path, without, sentence
):
    folder = damaged(tmp_path, clip_t5_folder, without=without)
    with pytest.raises(DataError, match=sentence):
        clip_t5(folder, t5_tokenizer_folder).score(noise(0), "a dog")


def test_missing_and_damaged_models_are_sentences(tmp_path, clip_t5_folder, t5_tokenizer_folder, monkeypatch):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text("{}")
    with pytest.raises(DataError, match=r"empty has no \*.safetensors and no \*.bin. Set the option `model.path`"):
        clip_t5(tmp_path / "empty", t5_tokenizer_folder).score(noise(0), "a dog")
    (tmp_path / "config.json").write_bytes((clip_t5_folder / "config.json").read_bytes())
    whole = (clip_t5_folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=f"{tmp_path}"):
        clip_t5(tmp_path, t5_tokenizer_folder).score(noise(0), "a dog")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match=r"'no/such-model' is not a local folder .* Set the option `model.path`"):
        ClipT5(ClipT5Config(path="no/such-model", tokenizer="x")).settings.keys()


class Shade:
    """A VQAScore model whose score is the brightness of an image."""

    settings = {"kind": "shade"}

    def to(self, device: object) -> Shade:
        return self

    def score(self, picture: Image.Image, text: str) -> float:
        return picture.getpixel((0, 0))[0] / 255 * (0.5 if text == "dark" else 1.0)


def shade(value: int) -> Image.Image:
    return Image.new("RGB", (4, 4), (value,) * 3)


def test_vqascore_is_the_mean_over_images_with_equal_captions_as_units(monkeypatch):
    monkeypatch.setattr("nanogen_textscore.vqa.metric.build_named", lambda *_, **__: Shade())
    metric = VQAScore(VQAScoreConfig())
    images = as_images([shade(value) for value in (255, 0, 255)])
    metric.update(images, Batch(torch.tensor([0, 1, 2]), captions=["dark", "bright", "dark"]))
    assert set(metric.compute()) <= set(metric.score_names)
    assert metric.compute() == {"vqascore": pytest.approx((0.5 + 0 + 0.5) / 3)}
    assert metric.units == 2
    by_unit = sorted(metric.resampled(torch.tensor([unit]))["vqascore"] for unit in range(2))
    assert by_unit == [0.0, 0.5]
    with pytest.raises(NanoGenError, match="vqascore needs captions"):
        metric.update(images, Batch(torch.tensor([0, 1, 2])))


GENAI = {f"{n:05d}": {"prompt": text, "models": {"DALLE_3": [3, 4, 5]}} for n, text in enumerate(["a", "b", "a", "c"])}
SKILLS = {"counting": [0, 2], "spatial relation": [1]}


def test_genai_bench_has_a_score_for_each_skill(monkeypatch, write_json, tmp_path):
    monkeypatch.setattr("nanogen_textscore.vqa.metric.build_named", lambda *_, **__: Shade())
    files = {"prompts": write_json("genai_image.json", GENAI), "skills": write_json("genai_skills.json", SKILLS)}
    metric = GenAIBench(GenAIBenchConfig(**files))
    asked = metric.eval_batch()
    assert asked.captions == ["a", "b", "a", "c"]
    metric.update(as_images([shade(value) for value in (255, 0, 51, 0)]), asked)
    assert set(metric.compute()) <= set(metric.score_names)
    assert metric.compute() == {
        "genaibench": pytest.approx(1.2 / 4),
        "genaibench_counting": pytest.approx(1.2 / 2),  # the first and the third, although their texts are equal
        "genaibench_spatial_relation": 0.0,
        "genaibench_all": pytest.approx(1.2 / 3),
    }
    assert metric.units == 4
    assert metric.resampled(torch.tensor([0, 0]))["genaibench"] == pytest.approx(1.0)
    assert [place.name for place in metric.layout(tmp_path)][:2] == ["00000.jpeg", "00001.jpeg"]
    assert json.loads(json.dumps(metric.settings)).keys() == {"model", "prompts", "skills", "images_per_prompt"}


def test_a_prompt_in_several_skills_counts_once_in_all():
    assert by_skill({0: 1.0, 1: 0.0}, {"x": [0], "y": [0, 1], "z": [5]}) == {"x": 1.0, "y": 0.5, "all": 0.5}
    assert by_skill({0: 1.0, 1: 0.0}, {"y": [0, 0, 1]}) == {"y": 0.5, "all": 0.5}  # as the metric counts


@pytest.mark.parametrize("content", [[], {"a": {"prompt": "x"}}, {"00000": "x"}, {"00000": {}}])
def test_damaged_prompts_are_a_sentence(write_json, content):
    if content == []:
        content = [1]
    with pytest.raises(DataError, match="official genai_image.json"):
        read_prompts(Path(write_json("x.json", content)))


def test_damaged_skills_are_a_sentence(write_json):
    with pytest.raises(DataError, match="official genai_skills.json"):
        read_skills(Path(write_json("x.json", {"a": 3})), {})
    with pytest.raises(DataError, match="has the prompt id 7"):
        read_skills(Path(write_json("x.json", {"a": [7]})), {0: "x"})


@pytest.mark.parametrize(
    ("metric", "config"),
    [(VQAScore, VQAScoreConfig(model={"path": "x"})), (GenAIBench, GenAIBenchConfig(model={"path": "x"}))],
)
def test_errors_of_the_model_name_the_option_of_the_metric(metric, config):
    with pytest.raises(ConfigError, match=f"^metric.{metric.metric}.model: expected the name of a vqascore_model"):
        metric(config)


def test_a_component_of_another_kind_is_refused():
    with pytest.raises(UnknownName, match="no vqascore_model 'mask2former'.* Installed: chat-vqa, clip-flant5-xl"):
        VQAScore(VQAScoreConfig(model="mask2former"))


@pytest.fixture(scope="session")
def chat_folder(tmp_path_factory, t5_tokenizer_folder) -> Path:
    """A small LLaVA: a chat model that needs no torchvision, unlike Qwen-VL's processor."""
    from transformers import (
        AutoTokenizer,
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    folder, tokenizer = tmp_path_factory.mktemp("chat"), AutoTokenizer.from_pretrained(t5_tokenizer_folder)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = LlamaConfig(**sizes, vocab_size=len(tokenizer), pad_token_id=0)
    vision = CLIPVisionConfig(**VISION, image_size=16, patch_size=8)
    image = tokenizer.convert_tokens_to_ids("<image>")
    torch.manual_seed(0)
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=image, image_seq_length=4)
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    template = (
        "{% for message in messages %}{% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
        "{% if add_generation_prompt %} is{% endif %}"
    )
    square = {"height": 16, "width": 16}
    LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size=square),
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    ).save_pretrained(folder)
    return folder


def test_a_chat_model_gives_the_probability_of_yes_as_its_first_token(chat_folder):
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    network = LlavaForConditionalGeneration.from_pretrained(chat_folder)
    processor = AutoProcessor.from_pretrained(chat_folder)
    chat = ChatVQA(ChatVQAConfig(path=str(chat_folder), dtype="float32"))
    scores = []
    for seed in range(2):
        picture = noise(seed, (16, 16))
        inputs = processor(text='<image> Does this image show "a dog"? is', images=picture, return_tensors="pt")
        written = network.generate(
            **inputs, max_new_tokens=1, do_sample=False, output_scores=True, return_dict_in_generate=True
        )
        yes = processor.tokenizer.convert_tokens_to_ids("Yes")
        scores.append(chat.score(picture, "a dog"))
        assert scores[-1] == pytest.approx(float(written.scores[0][0].softmax(-1)[yes]), rel=1e-5)
    assert scores[0] != scores[1]
    assert 0 < exp(log(scores[0])) < 1
