"""GenEval: rules against second derivations, networks against transformers called directly, folders both ways."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from attrs import evolve
from PIL import Image
from torch import Tensor

from nanogen_core.errors import DataError, NanoGenError
from nanogen_core.tensors import Batch
from nanogen_files.images import to_tensor
from nanogen_textscore.clip import Clip
from nanogen_textscore.config import GenEvalConfig, Mask2FormerConfig
from nanogen_textscore.geneval.boxes import box_of_mask, iou, relations
from nanogen_textscore.geneval.colours import ColourClassifier, crop
from nanogen_textscore.geneval.correctness import check_image
from nanogen_textscore.geneval.detections import Detection, Rules, select_detections
from nanogen_textscore.geneval.detector import Mask2Former
from nanogen_textscore.geneval.folders import read_results, samples, write_results
from nanogen_textscore.geneval.instances import instances
from nanogen_textscore.geneval.metadata import read_metadata
from nanogen_textscore.geneval.metric import GenEval
from nanogen_textscore.geneval.official import official_metadata
from nanogen_textscore.geneval.summary import summary

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")
DETECTED = ["person", "mouse", "sofa", "dog"]  # the classes of the small detector, as the published weights call them
OFFICIAL_FILE = "5c48e0813e812e3c373fa5c8ed07a8f0a483be30272b4427b0559c8048e67c13"  # sha256sum of djghosh13/geneval's


def noise(seed: int, size: tuple[int, int] = (24, 16)) -> Image.Image:
    """A picture of random pixels, width by height."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (size[1], size[0], 3), generator=generator, dtype=torch.uint8)
    return Image.fromarray(pixels.numpy())


def as_images(pictures: Sequence[Image.Image]) -> torch.Tensor:
    """Pictures as a metric is given them: float32 [B, 3, H, W] in [-1, 1]."""
    return torch.stack([to_tensor(picture) for picture in pictures])


def test_the_official_prompts_are_those_of_the_official_file_byte_for_byte():
    text = "".join(json.dumps(line) + "\n" for line in official_metadata())
    assert hashlib.sha256(text.encode()).hexdigest() == OFFICIAL_FILE
    counts = Counter(line["tag"] for line in official_metadata())
    assert list(counts.values()) == [80, 99, 80, 94, 100, 100]


@pytest.mark.parametrize("seed", range(3))
def test_overlap_is_that_of_the_pixels(seed):
    random = np.random.default_rng(seed)
    for _ in range(50):
        (left, top), (wide, high) = random.integers(0, 8, (2, 2)).tolist()
        boxes = [(left, top, left + wide, top + high), (3, 2, 9, 7)]
        masks = np.zeros((2, 20, 20), dtype=bool)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
            mask[y1 : y2 + 1, x1 : x2 + 1] = True
        assert iou(*boxes) == pytest.approx((masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum())
        assert box_of_mask(masks[0].astype(np.uint8)) == boxes[0]


def test_an_empty_mask_has_no_box():
    assert box_of_mask(np.zeros((3, 4), np.uint8)) is None
    assert iou((5, 5, 4, 4), (5, 5, 4, 4)) == 0


def test_relations_turn_round_when_the_objects_change_places_or_the_picture_is_mirrored():
    random = np.random.default_rng(0)
    opposite = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
    seen = set()
    for _ in range(300):
        a, b = (np.concatenate([corner, corner + random.uniform(1, 40, 2)]) for corner in random.uniform(0, 90, (2, 2)))
        found = relations(a, b)
        seen |= set(found)
        assert {opposite[one] for one in found} == set(relations(b, a))
        mirrored = [np.array([-box[2], box[1], -box[0], box[3]]) for box in (a, b)]
        sideways = {"left of": "right of", "right of": "left of"}
        assert {sideways.get(one, one) for one in found} == set(relations(*mirrored))
    assert seen == set(opposite)


def test_a_margin_of_the_sizes_is_left_before_a_relation_holds():
    assert relations((0, 0, 10, 10), (20, 0, 30, 10)) == ["left of"]
    assert relations((0, 0, 10, 10), (20, 0, 30, 10), margin=0.6) == []  # 20 - 0.6 * 20 = 8, of 20: less than half
    assert relations((0, 0, 10, 10), (0, 0, 10, 10)) == []


def test_filtering_is_strict_sorted_limited_and_by_overlap():
    dogs = [Detection((20 * n, 0, 20 * n + 9, 9), score) for n, score in enumerate((0.3, 0.5, 0.95, 0.9))]
    assert [one.score for one in select_detections({"dog": dogs}, "colors")["dog"]] == [0.95, 0.9, 0.5]
    assert [one.score for one in select_detections({"dog": dogs}, "counting")["dog"]] == [0.95]
    assert [one.score for one in select_detections({"dog": dogs}, "colors", Rules(max_objects=2))["dog"]] == [0.95, 0.9]
    assert select_detections({"dog": dogs, "cat": [Detection((0, 0, 1, 1), 0.2)]}, "counting").keys() == {"dog"}
    twice = [Detection((0, 0, 9, 9), 0.9), Detection((0, 0, 9, 8), 0.8)]  # 90 of 100 pixels
    assert len(select_detections({"dog": twice}, "colors", Rules(max_overlap=0.9))["dog"]) == 1  # equal overlaps go
    assert len(select_detections({"dog": twice}, "colors", Rules(max_overlap=0.91))["dog"]) == 2


def at(*lefts: float) -> list[Detection]:
    return [Detection((left, 0, left + 10, 10), 1.0) for left in lefts]


def right(found, include, exclude=(), colours="red") -> bool:
    line = {"tag": "", "prompt": "", "include": include, "exclude": exclude}
    return check_image(found, line, lambda those, noun: colours.split()[: len(those)]).correct


def test_only_the_surest_objects_are_looked_at():
    assert right({"dog": at(0, 50)}, [{"class": "dog", "count": 1, "color": "red"}], colours="red blue")
    assert not right({"dog": at(0, 50)}, [{"class": "dog", "count": 1, "color": "red"}], colours="blue red")
    assert not right({"dog": at(0, 50)}, [{"class": "dog", "count": 2, "color": "red"}], colours="red blue")


def test_every_object_must_lie_so_to_every_target():
    include = [{"class": "cat", "count": 2}, {"class": "dog", "count": 2, "position": ["right of", 0]}]
    assert right({"cat": at(0, 20), "dog": at(60, 80)}, include)
    assert not right({"cat": at(0, 70), "dog": at(60, 90)}, include)
    assert not right({"cat": at(0), "dog": at(60, 90)}, include)  # one cat is no target


def test_a_target_of_the_wrong_colour_is_none():
    include = [
        {"class": "cat", "count": 1, "color": "red"},
        {"class": "dog", "count": 1, "position": ["right of", 0]},
    ]
    found = {"cat": at(0), "dog": at(60)}
    line = {"tag": "position", "prompt": "", "include": include}
    checked = check_image(found, line, lambda those, noun: ["blue"])
    assert checked.reason.splitlines() == [
        "expected red cat>=1, found 0 red; and 1 blue",
        "no target for dog to be right of",
    ]


def test_what_is_excluded_must_be_fewer():
    include, exclude = [{"class": "dog", "count": 2}], [{"class": "dog", "count": 3}]
    assert [right({"dog": at(*range(n))}, include, exclude) for n in (1, 2, 3)] == [False, True, False]


def by_hand(class_logits: Tensor, mask_logits: Tensor, image_size, target_size, threshold) -> set:
    """Instances by loops over pairs, pixels and numbers."""
    masks = torch.nn.functional.interpolate(mask_logits[None], size=image_size, mode="bilinear")[0].double().numpy()
    pairs = []
    for query, logits in enumerate(class_logits.double().numpy()):
        shares = np.exp(logits) / np.exp(logits).sum()
        pairs += [(shares[label], query, label) for label in range(len(logits) - 1)]
    found = set()
    for share, query, label in sorted(pairs, reverse=True)[: len(class_logits)]:
        inside = [1 / (1 + np.exp(-value)) for value in masks[query].flatten() if value > 0]
        score = share * sum(inside) / (len(inside) + 1e-6)
        shown = 0
        for row, column in product(range(target_size[0]), range(target_size[1])):
            source = (row * image_size[0] // target_size[0], column * image_size[1] // target_size[1])
            shown += masks[query][source] > 0
        if shown and score >= threshold:
            found.add((label, round(score, 4), int(shown)))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_instances_are_those_of_loops(seed):
    generator = torch.Generator().manual_seed(seed)
    classes, masks = torch.randn(6, 4, generator=generator) * 3, torch.randn(6, 4, 5, generator=generator)
    found = instances(classes, masks, image_size=(8, 10), target_size=(5, 7), threshold=0.3)
    expected = by_hand(classes, masks, (8, 10), (5, 7), 0.3)
    assert expected
    assert {(one.label, round(one.score, 4), int(one.mask.sum())) for one in found} == expected


def test_the_detector_is_transformers_with_the_names_of_the_metadata(detector_folder):
    from transformers import Mask2FormerForUniversalSegmentation, Mask2FormerImageProcessorPil

    picture = noise(1, (48, 40))
    detector = Mask2Former(Mask2FormerConfig(path=str(detector_folder), shortest=64, longest=100))
    found = detector.detect(picture, 0.0)
    processor = Mask2FormerImageProcessorPil.from_pretrained(detector_folder)
    inputs = processor(images=picture, size={"shortest_edge": 64, "longest_edge": 100}, return_tensors="pt")
    network = Mask2FormerForUniversalSegmentation.from_pretrained(detector_folder).eval()
    with torch.no_grad():
        answer = network(**inputs)
    size = tuple(inputs["pixel_values"].shape[-2:])
    expected = by_hand(answer.class_queries_logits[0], answer.masks_queries_logits[0], size, (40, 48), 0.0)
    names = {"person": "person", "mouse": "computer mouse", "sofa": "couch", "dog": "dog"}
    assert detector.classes == set(names.values())
    pixels = [(n, round(one.score, 4), int((one.mask > 0).sum())) for n, those in found.items() for one in those]
    assert sorted(pixels) == sorted((names[DETECTED[label]], score, shown) for label, score, shown in expected)
    for one in (one for those in found.values() for one in those):
        assert one.mask.shape == (40, 48)
        assert one.box == box_of_mask(one.mask)


def test_a_crop_is_grey_outside_of_its_mask_and_keeps_a_pixel():
    picture, mask = Image.new("RGB", (8, 6), "blue"), np.zeros((6, 8), np.uint8)
    mask[2:4, 3:7] = 255
    mask[2, 3] = 0
    cut = np.asarray(crop(picture, Detection((3, 2, 6, 3), 1.0, mask)))
    assert cut.tolist() == [[[153] * 3, [0, 0, 255], [0, 0, 255]]]  # the last row and column are lost, as published
    assert crop(picture, Detection((3, 2, 3, 2), 1.0, mask)).size == (1, 1)


def test_colours_are_those_of_clip_called_directly(clip_folder):
    from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

    picture, mask = noise(2), np.full((16, 24), 255, np.uint8)
    places = [(0, 0, 10, 10), (3, 2, 20, 14), (5, 5, 23, 15), (0, 8, 12, 15)]
    detections = [Detection(box, 1.0, mask) for box in places]
    named = ColourClassifier(Clip(str(clip_folder), option="clip"))(picture, detections, "dog")
    network, processor = CLIPModel.from_pretrained(clip_folder), CLIPImageProcessorPil.from_pretrained(clip_folder)
    tokenizer = AutoTokenizer.from_pretrained(clip_folder)
    means = []
    for colour in COLOURS:
        texts = [f"a photo of a {colour} dog", f"a photo of a {colour}-colored dog", f"a photo of a {colour} object"]
        states = network.get_text_features(**tokenizer(texts, padding=True, return_tensors="pt")).pooler_output
        mean = (states / states.norm(dim=-1, keepdim=True)).mean(0)
        means.append(mean / mean.norm())
    expected = []
    for box in places:
        pixels = processor(images=picture.crop(box), return_tensors="pt")
        image = network.get_image_features(**pixels).pooler_output[0]
        expected.append(COLOURS[int(torch.stack([image @ mean for mean in means]).argmax())])
    assert named == expected


class Squares:
    """A detector of made pictures: a white square on black is a dog, and how sure it is stands in its own grey."""

    settings = {"model": "squares"}
    classes = frozenset({"dog", "computer mouse"})

    def to(self, device: object) -> Squares:
        return self

    def detect(self, picture: Image.Image, threshold: float) -> dict[str, list[Detection]]:
        pixels = np.asarray(picture.convert("L"))
        mask = ((pixels > 0) * 255).astype(np.uint8)
        box, score = box_of_mask(mask), float(pixels.max()) / 255
        return {} if box is None or score < threshold else {"dog": [Detection(box, score, mask)]}


LINES = [
    {"tag": "single_object", "include": [{"class": "dog", "count": 1}], "prompt": "a photo of a dog"},
    {
        "tag": "counting",
        "include": [{"class": "dog", "count": 1}],
        "exclude": [{"class": "dog", "count": 2}],
        "prompt": "a photo of one dog",
    },
    {"tag": "single_object", "include": [{"class": "computer mouse", "count": 1}], "prompt": "a photo of a mouse"},
]


def metadata_file(tmp_path: Path, lines=LINES) -> str:
    file = tmp_path / "metadata.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(file)


@pytest.fixture
def metric(tmp_path: Path, clip_folder: Path, detector_folder: Path) -> GenEval:
    detector = {"name": "mask2former", "path": str(detector_folder)}
    config = GenEvalConfig(
        metadata=metadata_file(tmp_path), images_per_prompt=2, clip=str(clip_folder), detector=detector
    )
    made = GenEval(config)
    made._detector = Squares()
    return made


def square(grey: int) -> Image.Image:
    picture = Image.new("RGB", (16, 16))
    picture.paste((grey,) * 3, (4, 4, 12, 12))
    return picture


GREYS = [255, 200, 255, 200, 255, 255]  # two images a prompt: right right, right wrong (not sure enough), wrong wrong


def test_the_official_mean_is_over_tags_and_the_published_one_over_images(metric):
    asked = metric.eval_batch()
    assert asked.captions == [line["prompt"] for line in LINES for _ in range(2)]
    metric.update(as_images([square(grey) for grey in GREYS]), asked)
    assert set(metric.compute()) <= set(metric.score_names)
    assert metric.compute() == pytest.approx(
        {
            "geneval": (2 / 4 + 1 / 2) / 2,
            "geneval_images": 3 / 6,
            "geneval_single_object": 2 / 4,
            "geneval_counting": 1 / 2,
        }
    )
    assert metric.units == 3
    assert metric.resampled(torch.arange(3)) == metric.compute()
    first_and_third = metric.resampled(torch.tensor([0, 2, 2]))
    assert first_and_third == {"geneval": 2 / 6, "geneval_images": 2 / 6, "geneval_single_object": 2 / 6}


def test_a_counting_threshold_below_the_other_one_has_an_effect(metric):
    metric._config = evolve(metric._config, threshold=0.9, counting_threshold=0.5)
    metric._rules = evolve(metric._rules, threshold=0.9, counting_threshold=0.5)
    single, counting, _ = LINES
    assert metric.evaluate_image(square(200), counting)["correct"]
    assert not metric.evaluate_image(square(200), single)["correct"]


def test_scores_depend_on_no_batch_order_or_process(metric, tmp_path, clip_folder):
    images, asked = as_images([square(grey) for grey in GREYS]), metric.eval_batch()
    metric.update(images, asked)
    whole = metric.compute()
    other = GenEval(metric._config)
    other._detector = Squares()
    for index in (5, 0, 3):
        other.update(images[index : index + 1], asked.part(index, index + 1))
    third = GenEval(metric._config)
    third._detector = Squares()
    third.update(images[[4, 1, 2]], Batch(torch.tensor([4, 1, 2])))  # without captions the index says the prompt
    other.merge(third.state())
    assert other.compute() == whole


def test_captions_in_another_order_find_their_prompts(metric):
    metric.update(as_images([square(200)]), Batch(torch.tensor([0]), captions=["a photo of one dog"]))
    assert metric.compute() == {"geneval": 0.0, "geneval_images": 0.0, "geneval_counting": 0.0}


def test_a_strange_caption_and_a_strange_index_are_sentences(metric):
    with pytest.raises(NanoGenError, match="'a photo of a dogg' is not a prompt of .* Did you mean 'a photo of a dog'"):
        metric.update(as_images([square(0)]), Batch(torch.tensor([0]), captions=["a photo of a dogg"]))
    with pytest.raises(NanoGenError, match="3 prompts with 2 images each"):
        metric.update(as_images([square(0)]), Batch(torch.tensor([6])))


def test_the_whole_metric_runs_on_small_networks(tmp_path, clip_folder, detector_folder):
    line = {
        "tag": "colors",
        "include": [{"class": "dog", "count": 1, "color": "red"}],
        "prompt": "a photo of a red dog",
    }
    detector = {"name": "mask2former", "path": str(detector_folder), "shortest": 64, "longest": 100}
    config = GenEvalConfig(
        metadata=metadata_file(tmp_path, [line]), clip=str(clip_folder), detector=detector, threshold=0
    )
    metric = GenEval(config)
    metric.update(as_images([noise(seed, (32, 32)) for seed in range(4)]), metric.eval_batch())
    assert metric.compute().keys() == {"geneval", "geneval_images", "geneval_colors"}
    expected = hashlib.sha256((detector_folder / "model.safetensors").read_bytes()).hexdigest()
    assert metric.settings["detector"]["weights"] == expected
    assert metric.settings["rules"]["counting_threshold"] == 0.9
    json.dumps(metric.settings)


def test_a_detector_that_does_not_know_a_class_is_refused(tmp_path, clip_folder, detector_folder):
    line = {"tag": "single_object", "include": [{"class": "zebra", "count": 1}], "prompt": "a photo of a zebra"}
    detector = {"name": "mask2former", "path": str(detector_folder)}
    config = GenEvalConfig(metadata=metadata_file(tmp_path, [line]), clip=str(clip_folder), detector=detector)
    with pytest.raises(DataError, match="lacks classes of the prompts, such as zebra"):
        GenEval(config).update(as_images([noise(0)]), Batch(torch.tensor([0])))


@pytest.mark.parametrize(
    ("detector", "sentence"),
    [
        ("clip-flant5-xl", "no detector 'clip-flant5-xl'.* Installed: mask2former"),
        ({"path": "x"}, "^metric.geneval.detector: expected the name of a detector component"),
        ({"name": "mask2former", "pth": "x"}, "^metric.geneval.detector.pth: unknown key. Did you mean 'path'"),
    ],
)
def test_a_wrong_detector_is_a_sentence(detector, sentence):
    with pytest.raises(NanoGenError, match=sentence):
        GenEval(GenEvalConfig(detector=detector))


def test_official_folders_are_written_and_read(metric, tmp_path):
    folder = tmp_path / "images"
    places = metric.layout(folder)
    assert [str(place.relative_to(folder)) for place in places[:3]] == [
        "00000/samples/00000.png",
        "00000/samples/00001.png",
        "00001/samples/00000.png",
    ]
    assert json.loads((folder / "00001/metadata.jsonl").read_text()) == LINES[1]
    for place, grey in zip(places, GREYS, strict=True):
        place.parent.mkdir(parents=True, exist_ok=True)
        square(grey).save(place)
    (folder / "00000/samples/grid.png").write_bytes(b"no sample")
    assert [sample.file for sample in samples(folder)] == places
    write_results(tmp_path / "results.jsonl", metric.evaluate_folder(folder))
    results = read_results(tmp_path / "results.jsonl")
    assert list(results[0]) == ["filename", "tag", "prompt", "correct", "reason", "metadata", "details"]
    assert json.loads(results[0]["details"]) == {"dog": [[4.0, 4.0, 11.0, 11.0, 1.0]]}
    assert json.loads(results[0]["metadata"]) == LINES[0]
    metric.update(as_images([square(grey) for grey in GREYS]), metric.eval_batch())
    found, told = metric.compute(), summary(results)
    assert (told["overall_score"], told["correct_images"]) == (found["geneval"], found["geneval_images"])
    assert (told["total_images"], told["total_prompts"], told["correct_prompts"]) == (6, 3, 2 / 3)


def test_no_results_have_no_score():
    assert summary([])["overall_score"] == 0.0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no prompts"),
        ("{", "Line 1 of .* is not valid JSON"),
        ("[]", "Line 1 of .* is not a JSON object"),
        ('{"tag": "x", "prompt": "y"}', "Line 1 of .* lacks a list as its `include`"),
        ('{"tag": 3, "prompt": "y"}', "lacks a text as its `tag`"),
        ('{"tag": "x", "prompt": "y", "include": [{"class": "dog"}]}', "has an item that lacks a text as its `class`"),
        (
            '{"tag": "x", "prompt": "y", "include": [{"class": "dog", "count": 1, "position": ["above", 0]}]}',
            "has an invalid `position`: expected a relation and the number of an earlier item",
        ),
    ],
)
def test_damaged_metadata_is_a_sentence(tmp_path, text, sentence):
    file = tmp_path / "damaged.jsonl"
    file.write_text(text)
    with pytest.raises(DataError, match=sentence):
        read_metadata(str(file))


def test_missing_files_are_named(tmp_path):
    with pytest.raises(DataError, match="There is no .*nowhere.jsonl"):
        GenEval(GenEvalConfig(metadata=str(tmp_path / "nowhere.jsonl"))).eval_batch()
    with pytest.raises(DataError, match="has no folders such as 00000"):
        list(samples(tmp_path))
    (tmp_path / "results.jsonl").write_text('{"tag": "x"}\n')
    with pytest.raises(DataError, match="lacks `tag` or `correct`"):
        read_results(tmp_path / "results.jsonl")


def test_without_a_file_the_metric_asks_the_official_prompts():
    asked = GenEval(GenEvalConfig()).eval_batch()
    assert len(asked.indices) == 553 * 4
    assert asked.captions[:5] == [*["a photo of a bench"] * 4, asked.captions[4]]
