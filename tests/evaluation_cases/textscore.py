"""Runners of the published evaluation cases of text-image metrics."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from nanogen_core.errors import DataError
from nanogen_textscore.clipscore import cosines
from nanogen_textscore.dpg.grids import tiles
from nanogen_textscore.dpg.questions import read_questions
from nanogen_textscore.dpg.scoring import YES, Result, aggregate, score_answers
from nanogen_textscore.geneval.boxes import box_of_mask, iou, relations
from nanogen_textscore.geneval.colours import crop
from nanogen_textscore.geneval.correctness import check_image
from nanogen_textscore.geneval.detections import Detection, Rules, select_detections
from nanogen_textscore.geneval.instances import instances
from nanogen_textscore.geneval.metadata import tag_counts
from nanogen_textscore.geneval.official import official_metadata
from nanogen_textscore.geneval.summary import summary
from nanogen_textscore.vqa.genai import by_skill
from nanogen_textscore.vqa.probability import answer_probability
from nanogen_textscore.vqa.wording import ANSWER, flan_prompt, padded_square, tokenize_prompt
from tests.evaluation_cases import Runners, array, pictures

RUNNERS = Runners()

Given = Mapping[str, Any]

END = 1  # the end token of the stub tokenizer in the case `vqascore_image_token`
MARGIN = "position_threshold"

_CROWD = re.compile(r"(\d+) (.+?)s? with scores? ([\d.]+) ?(-|\+) ?([\d.]+) ?\*? ?k")
_QUERY = re.compile(r"q(\d+)[ :]+(all )?([-+]?[\d.]+)([^;]*)")
_SPAN = re.compile(r"(row|col)s? ?(\d+)(?:(?:\.\.|-)(\d+))?")
_ELSE = re.compile(r"else ([-+]?[\d.]+)")


@RUNNERS.add("geneval", "pairs")
def _relations(given: Given) -> Any:
    """The relations of each pair, in alphabetical order."""
    margin = {"margin": given[MARGIN]} if MARGIN in given else {}
    return [sorted(relations(pair["a"], pair["b"], **margin)) for pair in given["pairs"]]


@RUNNERS.add("geneval", "a", "b")
def _iou(given: Given) -> Any:
    return iou(given["a"], given["b"])


@RUNNERS.add("geneval", "mask")
def _box(given: Given) -> Any:
    return box_of_mask(array(given["mask"]).astype(np.uint8))


@RUNNERS.add("geneval", "dets", "tag")
def _filter(given: Given) -> Any:
    """The scores of the selected detections, or their number if the detections are described in words."""
    names = Rules.__annotations__.keys() & given.keys()
    rules = Rules(**{name: given[name] for name in names})
    words = isinstance(given["dets"], str)
    detections = _described_detections(given["dets"]) if words else _detections(given["dets"])
    selected = select_detections(detections, given["tag"], rules)
    scores = {name: [one.score for one in members] for name, members in selected.items()}
    return sum(map(len, scores.values())) if words else scores


@RUNNERS.add("geneval", "detected", "metadata")
def _correctness(given: Given) -> Any:
    """Detections are in the order of their scores. `colors` are the classified colours of each class."""
    found = {name: [Detection(box[:4], 1.0) for box in boxes] for name, boxes in given["detected"].items()}
    named = given.get("colors", {})
    margin = {"margin": given[MARGIN]} if MARGIN in given else {}
    correct, reason = check_image(
        found, given["metadata"], lambda members, noun: named.get(noun, [])[: len(members)], **margin
    )
    return {"correct": correct, "reason": reason}


@RUNNERS.add("geneval", "results")
def _summary(given: Given) -> Any:
    return summary(given["results"])


@RUNNERS.add("geneval", "class_logits", "mask_logits")
def _instances(given: Given) -> Any:
    options = {"threshold": given["threshold"]} if "threshold" in given else {}
    size = tuple(given["image_size"])
    target = tuple(given.get("target_size", size))
    masks = _mask_logits(given["mask_logits"])
    found = instances(torch.tensor(given["class_logits"]), masks, image_size=size, target_size=target, **options)
    return [{"label": one.label, "score": one.score, "mask_pixels": int(one.mask.sum())} for one in found]


@RUNNERS.add("geneval", "image", "box")
def _crop(given: Given) -> Any:
    mask = array(given["mask"]).astype(np.uint8) if "mask" in given else None
    image = pictures(given["image"])[0]
    cut = crop(Image.fromarray(image), Detection(given["box"], 1.0, mask))
    return {"size_wh": cut.size, "pixels_rgb": np.asarray(cut)}


@RUNNERS.add("geneval")
def _counts(given: Given) -> Any:
    """The number of official prompts, in total and by tag."""
    return {"total": len(official_metadata()), "per_tag": tag_counts(official_metadata())}


@RUNNERS.add("dpg", "dependency", "answers")
def _answers(given: Given) -> Any:
    raw = {int(number): float(answer == YES) for number, answer in given["answers"].items()}
    one = score_answers(raw, {int(number): parents for number, parents in given["dependency"].items()})
    return {"raw": one.raw, "adjusted": one.adjusted, "valid": one.valid, "score": one.score}


@RUNNERS.add("dpg", "results")
def _aggregate(given: Given) -> Any:
    results = [Result(one["score"], one["raw_scores"], one["qid2tuple"]) for one in given["results"]]
    mean, level_1, level_2 = aggregate(results)
    return {"mean": mean, "l1": level_1, "l2": level_2}


@RUNNERS.add("dpg", "csv")
def _questions(given: Given) -> Any:
    """The questions without the first row, which the published loader skips."""
    items = read_questions(given["csv"], skip_first_row=True)
    return {
        item: {
            "qid2tuple": {number: one.about for number, one in questions.items()},
            "qid2dependency": {number: one.parents for number, one in questions.items()},
            "qid2question": {number: one.text for number, one in questions.items()},
        }
        for item, questions in items.items()
    }


@RUNNERS.add("dpg", "resolution", "pic_num")
def _tiles(given: Given) -> Any:
    return tiles(given["resolution"], given["pic_num"])


@RUNNERS.add("vqascore", "text")
def _question(given: Given) -> Any:
    return {"question": flan_prompt(given["text"]), "answer": ANSWER}


@RUNNERS.add("vqascore", "prompt")
def _tokens(given: Given) -> Any:
    """The token ids of a prompt. The stub tokenizer gives the length of each word, then the end token."""
    return tokenize_prompt(given["prompt"], lambda part: [*map(len, part.split()), END])


@RUNNERS.add("vqascore", "image", "background")
def _padded_square(given: Given) -> Any:
    """The size of the padded image, and the rows and columns that hold only background."""
    background = tuple(given["background"])
    square = padded_square(Image.fromarray(pictures(given["image"])[0]), background)
    empty = (np.asarray(square) == background).all(-1)  # [H, W]
    padding = {"rows_of_background": empty.all(1), "cols_of_background": empty.all(0)}
    return {"size": square.size, **{name: np.flatnonzero(which) for name, which in padding.items()}}


@RUNNERS.add("vqascore", "decoder_logits", "labels")
def _probability(given: Given) -> Any:
    logits, labels = torch.tensor(given["decoder_logits"], dtype=torch.float64), torch.tensor(given["labels"])
    return {
        "score": answer_probability(logits, labels),
        "if_second_label_ignored": answer_probability(logits[:1], labels[:1]),
    }


@RUNNERS.add("genai_bench", "skills", "scores")
def _skills(given: Given) -> Any:
    scores = dict(enumerate(given["scores"]))
    return {**by_skill(scores, given["skills"]), "diffusionbench_mean": sum(scores.values()) / len(scores)}


@RUNNERS.add("clipscore", "image", "text")
def _clipscore(given: Given) -> Any:
    found = cosines(torch.tensor(given["image"]), torch.tensor(given["text"]))
    return {"scores": found, "mean": float(found.mean())}


def _detections(given: Mapping[str, Sequence[Any]]) -> dict[str, list[Detection]]:
    return {name: [Detection(box, score) for box, score in members] for name, members in given.items()}


def _described_detections(words: str) -> dict[str, list[Detection]]:
    """Parse `20 dogs with scores .99-.001k`: detection k = 0, 1, ... has the score .99 - .001 k.

    Raises DataError for words of another form.
    """
    match = _CROWD.fullmatch(words.strip())
    if match is None:
        raise DataError(
            f"The detections {words!r} are not of the form '20 dogs with scores .99-.001k'. Correct the case."
        )
    count, noun, first, sign, step = match.groups()
    slope = float(step) if sign == "+" else -float(step)
    return {noun: [Detection((20 * k, 0, 20 * k + 9, 9), float(first) + slope * k) for k in range(int(count))]}


def _mask_logits(given: Any) -> Tensor:
    """Parse masks [Q, h, w] from nested lists, or from words such as `3x4x4: q0 +6 at rows0-1 cols0-1 else -6; q2 all
    +1`.

    Raises DataError for words of another form.
    """
    if not isinstance(given, str):
        return torch.tensor(given, dtype=torch.float32)
    shape, _, words = given.partition(":")
    masks = torch.zeros([int(side) for side in shape.split("x")])
    queries = _QUERY.findall(words)
    if not queries:
        raise DataError(
            f"The masks {given!r} are not of the form '2x4x4: q0 +6 at rows0-1 cols0-1 else -6'. Correct the case."
        )
    for number, _, value, rest in queries:
        other = _ELSE.search(rest)
        masks[int(number)] = float(other[1]) if other else float(value)
        spans = {axis: slice(int(first), int(last or first) + 1) for axis, first, last in _SPAN.findall(rest)}
        everything = slice(None)
        masks[int(number), spans.get("row", everything), spans.get("col", everything)] = float(value)
    return masks
