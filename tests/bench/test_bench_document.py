"""`docs/benchmark.md`: its numbers are the command's, computed again."""

import csv
import re
from pathlib import Path

import pytest

from nanogen_bench.correlation.study import study
from nanogen_bench.correlation.table import read_table

DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmark.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
YS = ["geneval", "dpgbench", "genaibench"]


def found(where):
    return study(read_table("published"), x="fid_cfg", ys=YS, where=where)


@pytest.fixture(scope="module")
def latent():
    return found(["family!=pixel", "family!=meanflow"])


@pytest.fixture(scope="module")
def everyone():
    return found([])


def rows(heading):
    """The numbers of the table under a header row that begins so: first cell -> its numbers."""
    table = TEXT[TEXT.index(heading) :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return {row[0]: [number for cell in row[1:] for number in numbers(cell)] for row in cells}


def numbers(text):
    return [float(one) for one in re.findall(r"[+-]?\d+(?:\.\d+)?", text.replace("−", "-"))]


def near(value):
    return pytest.approx(value, abs=0.0051)  # intervals stand with two decimals


def test_the_table_of_correlations(latent):
    printed = rows("| Against | n |")
    assert list(printed) == YS
    for pair in latent.pairs:
        pearson = pair.coefficient("pearson")
        bounds = [
            b for one in pearson.intervals if one.low is not None for b in (one.agreement_low, one.agreement_high)
        ]
        exact = [pair.n, pair.pearson, *(one.agreement for one in pair.coefficients)]
        assert printed[pair.y][:5] == pytest.approx(exact, abs=0.00051)
        assert printed[pair.y][5:11] == near(bounds)
        assert printed[pair.y][11:] == pytest.approx([pair.p_value, pair.p_holm], abs=0.00051)


def test_the_table_of_families(latent, everyone):
    printed = rows("| Agreement with |")
    for pair, whole in zip(latent.pairs, everyone.pairs, strict=True):
        inside = {one.group: one for one in pair.within_group}
        vae, rae = inside["VAE"], inside["RAE"]
        assert (vae.n, rae.n, whole.n) == (13, 8, 26)
        assert [printed[pair.y][i] for i in (0, 3, 6)] == pytest.approx(
            [vae.agreement, rae.agreement, whole.agreement], abs=0.00051
        )
        assert [printed[pair.y][i] for i in (1, 2, 4, 5)] == near([vae.low, vae.high, rae.low, rae.high])


def test_numbers_in_sentences(latent, everyone):
    geneval, dpgbench, genaibench = latent.pairs
    models = geneval.left_out("models")
    first, second, third = (pair.rank_changes for pair in latent.pairs)
    ranges = geneval.ranges
    difference = latent.differences[2]
    power = latent.power[0]
    all_families = everyone.pairs[0].left_out("family")
    expected = [
        f"detect a true correlation of 0.3 in {power.power['0.3']:.0%} of cases",
        f"80% power needs n = {power.needed['0.3']}",
        f"|r| = {power.detectable:.2f}",
        f"includes zero (n = {dpgbench.n}), although its p-value is {dpgbench.p_holm:.3f}.",
        f"Over all n = {ranges.n_all} the agreement with GenEval is {ranges.agreement_all:+.3f}",
        f"of FID is {ranges.spread_all:.2f} over n = {ranges.n_all} and {ranges.spread:.3f} over n = {ranges.n}",
        f"{ranges.agreement_all:+.3f} (n = 26) would become {ranges.expected:+.3f}",
        f"rows of MeanFlow it is {all_families.low:+.3f} (n = {all_families.n_low})",
        f"without it {geneval.agreement:+.3f} (n = 21) becomes {models.high:+.3f} (n = {models.n_high})",
        f"Without {models.without_low} it is {models.low:+.3f} (n = {models.n_low})",
        "For GenAI-Bench the range is {0.low:+.3f} to {0.high:+.3f} (n = {0.n_low})".format(
            genaibench.left_out("models")
        ),
        f"Of the {first.pairs} pairs of models (n = 21) {first.discordant} ({first.share:.0%})",
        f"DPG-Bench {second.discordant} of {second.pairs} ({second.share:.0%}), by GenAI-Bench "
        f"{third.discordant} of {third.pairs} ({third.share:.0%})",
        f"{dpgbench.agreement:+.3f} and {genaibench.agreement:+.3f} (n = 21) differ by {difference.difference:+.3f}, "
        f"with Williams' t({difference.degrees}) = {difference.t:.2f} and p = {difference.p_holm:.3f}",
    ]
    assert models.without_high == "SpatialPE-L"
    assert all_families.without_low == "meanflow"
    text = " ".join(TEXT.split())
    assert [sentence for sentence in expected if sentence not in text] == []


def test_verdicts_of_statements(latent):
    names = {"geneval": "GenEval", "dpgbench": "DPG-Bench", "genaibench": "GenAI-Bench"}
    verdicts = {statement.text: statement.verdict for statement in latent.statements}
    table = TEXT[TEXT.index("| Statement, over") :].split("\n\n")[0].splitlines()[2:]
    printed = dict(tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table)
    for y, name in names.items():
        assert printed[f"A better FID goes with a better {name}."] == verdicts[f"Better fid_cfg goes with better {y}."]
    parts = {"FID says little": "says little", "FID ranks": "nearly", "These 21 models": "same agreement as all"}
    for start, part in parts.items():
        [verdict_of_page] = [verdict for sentence, verdict in printed.items() if sentence.startswith(start)]
        assert {verdict for text, verdict in verdicts.items() if part in text} == {verdict_of_page}
    expected = verdicts["fid_cfg agrees more with dpgbench than with genaibench."]
    assert printed["FID agrees more with DPG-Bench than with GenAI-Bench."] == expected


def test_every_agreement_has_its_n():
    start, end = TEXT.index("## How to read"), TEXT.index("### Statements and verdicts")
    for paragraph in TEXT[start:end].split("\n\n"):
        if re.search(r"[+−]0\.\d{3}", paragraph) and not paragraph.startswith("A lower FID"):
            assert "n = " in paragraph or "| n |" in paragraph, paragraph


def test_the_small_experiment():
    table = read_table(DOCUMENT.with_name("mini.csv"))
    result = study(table, x="frechet", ys=["scenes", "scenes_unseen"])
    section = TEXT[TEXT.index("## A small version") : TEXT.index("## The methods")]
    for pair in result.pairs:
        pearson = pair.coefficient("pearson")
        for value in (pearson.agreement, *(b for one in pearson.intervals if one.low is not None for b in bounds(one))):
            assert f"{value:+.3f}".replace("-", "−") in section
        assert f"p = {pair.p_holm:.3f}" in section
    shown = {name.split(",")[0]: values[-4:] for name, values in rows("| Model | Fréchet distance, classes").items()}
    with DOCUMENT.with_name("mini.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            scores = [float(row[column]) for column in ("frechet", "accuracy", "scenes", "scenes_unseen")]
            assert shown.pop(row["model"]) == pytest.approx(scores, abs=0.0051)
    assert not shown


def bounds(interval):
    return interval.agreement_low, interval.agreement_high
