"""The whole study: the published numbers, the sentences, the directions, and the command."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from nanogen_bench.correlation.study import study
from nanogen_bench.correlation.table import Table, read_table
from nanogen_core.errors import ConfigError, DataError

YS = ["geneval", "dpgbench", "genaibench"]
LATENT = ["family!=pixel", "family!=meanflow"]


@pytest.fixture(scope="module")
def latent():
    return study(read_table("published"), x="fid_cfg", ys=YS, where=LATENT)


def table(x, y, **more):
    rows = [{"model": f"m{i}", "fid": a, "geneval": b} for i, (a, b) in enumerate(zip(x, y, strict=True))]
    for name, column in more.items():
        rows = [{**row, name: cell} for row, cell in zip(rows, column, strict=True)]
    return Table.of(rows, source="test")


def related(n, r, seed=0):
    """Columns whose sample correlation is exactly r."""
    x, e = np.random.default_rng(seed).normal(size=(2, n))
    x = stats.zscore(x)
    e = stats.zscore(e - (e @ x) / n * x - e.mean())
    return x, r * x + np.sqrt(1 - r * r) * e


def verdicts(found):
    return {statement.text: statement.verdict for statement in found.statements}


def test_the_published_correlations(latent):
    assert [round(pair.pearson, 3) for pair in latent.pairs] == [-0.555, -0.580, -0.377]
    assert [round(pair.agreement, 3) for pair in latent.pairs] == [0.555, 0.580, 0.377]
    assert {pair.n for pair in latent.pairs} == {21}
    for pair in latent.pairs:
        assert pair.ci_low < pair.pearson < pair.ci_high
        assert (pair.agreement_ci_low, pair.agreement_ci_high) == (-pair.ci_high, -pair.ci_low)
        assert 0 < pair.p_value <= pair.p_holm <= 1
        assert pair.ranges.n_all == 26
        assert pair.ranges.agreement_all == pytest.approx(0.9, abs=0.015)


def test_over_all_models():
    found = study(read_table("published"), x="fid_cfg", ys=YS, draws=200)
    assert [round(pair.pearson, 1) for pair in found.pairs] == [-0.9] * 3
    assert all(pair.ranges is None for pair in found.pairs)
    assert (found.n, found.n_all) == (26, 26)


def test_each_coefficient_is_scipys(latent):
    chosen = read_table("published")
    rows = [row["family"] in ("RAE", "VAE") for row in chosen.rows]
    x = chosen.numbers("fid_cfg")[rows]
    for pair in latent.pairs:
        y = chosen.numbers(pair.y)[rows]
        expected = (stats.pearsonr(x, y).statistic, stats.spearmanr(x, y).statistic, stats.kendalltau(x, y).statistic)
        assert (pair.pearson, pair.spearman, pair.kendall) == pytest.approx(expected)
        assert pair.p_value == pytest.approx(stats.pearsonr(x, y).pvalue, abs=0.01)
        assert [(point.x, point.y) for point in pair.points] == list(zip(x, y, strict=True))


def test_intervals_over_models_over_tokenizers_and_fishers(latent):
    intervals = latent.pairs[0].coefficient("pearson").intervals
    assert [(one.method, one.over, one.units) for one in intervals] == [
        ("bca", "models", 21),
        ("bca", "tokenizer", 11),
        ("bca", "family", 2),
        ("fisher", "models", 21),
    ]
    assert intervals[2].low is None
    assert intervals[2].reason == "2 families are too few for a bootstrap"
    assert [power.n for power in latent.power] == [21, 11]


def test_what_the_published_numbers_say(latent):
    said = verdicts(latent)
    assert said["Better fid_cfg goes with better geneval."] == "supported"
    assert said["Better fid_cfg goes with better genaibench."] == "open"
    assert {verdict for text, verdict in said.items() if "says little" in text} == {"open"}
    assert {verdict for text, verdict in said.items() if "nearly" in text} == {"contradicted"}
    assert {verdict for text, verdict in said.items() if "agrees more" in text} == {"open"}
    assert {verdict for text, verdict in said.items() if "within each family" in text} == {"open"}
    assert all(f"n = {pair.n}" in sentence for pair, sentence in zip(latent.pairs, latent.summary, strict=True))
    assert all("n = " in statement.because for statement in latent.statements)


def test_turning_a_column_round_changes_the_raw_number_alone():
    x, y = related(20, -0.5)
    one = study(table(x, y), x="fid", ys=["geneval"], draws=500).pairs[0]
    other = study(table(-x, y), x="fid", ys=["geneval"], directions={"fid": "higher"}, draws=500).pairs[0]
    assert one.pearson == pytest.approx(-other.pearson) == pytest.approx(-0.5)
    assert one.agreement == pytest.approx(other.agreement) == pytest.approx(0.5)
    ends = [(pair.agreement_ci_low, pair.agreement_ci_high) for pair in (one, other)]
    assert ends[0] == pytest.approx(ends[1], abs=1e-3)
    assert one.rank_changes.discordant == other.rank_changes.discordant


@pytest.mark.parametrize(
    ("n", "r", "relation", "little", "nearly"),
    [
        (7, -0.6, "open", "open", "open"),
        (150, -0.5, "supported", "contradicted", "contradicted"),
        (150, 0.5, "contradicted", "contradicted", "contradicted"),
        (150, 0.0, "open", "supported", "contradicted"),
        (150, -0.97, "supported", "contradicted", "supported"),
    ],
)
def test_verdicts(n, r, relation, little, nearly):
    found = study(table(*related(n, r)), x="fid", ys=["geneval"], draws=500)
    assert list(verdicts(found).values()) == [relation, little, nearly]


def test_two_ys_that_differ_beyond_doubt():
    x, y = related(60, -0.9)
    noise = np.random.default_rng(3).normal(size=60)
    found = study(table(x, y, psnr=noise), x="fid", ys=["psnr", "geneval"], draws=500)
    assert verdicts(found)["fid agrees more with geneval than with psnr."] == "supported"
    difference = found.differences[0]
    assert difference.difference == pytest.approx(found.pairs[0].agreement - found.pairs[1].agreement)
    assert difference.intervals[0].high < 0


def test_missing_values_leave_pairs_of_their_own():
    x, y = related(12, -0.6)
    psnr = [None, "nan", *np.random.default_rng(0).normal(size=10)]
    found = study(table(x, y, psnr=psnr), x="fid", ys=["geneval", "psnr"], draws=200)
    assert [(pair.n, pair.missing) for pair in found.pairs] == [(12, ()), (10, ("m0", "m1"))]
    assert found.differences[0].n == 10
    assert any("m0, m1" in caution for caution in found.cautions)


def test_p_values_are_corrected_over_the_pairs(latent):
    p = sorted(pair.p_value for pair in latent.pairs)
    expected = [3 * p[0], max(3 * p[0], 2 * p[1]), max(3 * p[0], 2 * p[1], p[2])]
    assert sorted(pair.p_holm for pair in latent.pairs) == pytest.approx(expected)


def test_a_seed_decides_the_draws():
    def interval(seed):
        return study(table(*related(15, 0.3)), x="fid", ys=["geneval"], draws=200, seed=seed).pairs[0].ci_low

    assert interval(1) == interval(1) != interval(2)


@pytest.mark.parametrize(
    ("said", "error", "says"),
    [
        ({"ys": ["genevl"]}, DataError, "Did you mean 'geneval'"),
        ({"ys": ["geneval", "geneval"]}, ConfigError, "is given twice"),
        ({"ys": ["fid"]}, ConfigError, "is given twice"),
        ({"ys": []}, ConfigError, "--y is empty"),
        ({"where": ["fid<-100"]}, DataError, "leaves no row"),
        ({"where": ["model=m1"]}, DataError, "1 of the 1 chosen models has fid and geneval"),
        ({"directions": {"fiid": "lower"}}, DataError, "Did you mean 'fid'"),
        ({"clusters": ["team"]}, DataError, "--cluster team"),
    ],
)
def test_mistakes(said, error, says):
    with pytest.raises(error, match=says):
        study(table(*related(8, 0.1)), **{"x": "fid", "ys": ["geneval"], **said})


def test_a_constant_column():
    with pytest.raises(DataError, match="geneval is 0.5 for all 6 models"):
        study(table(range(6), [0.5] * 6), x="fid", ys=["geneval"])


def test_more_models_than_a_study_takes():
    with pytest.raises(DataError, match="501 models are chosen, but a study can use at most 500"):
        study(table(*related(501, 0.1)), x="fid", ys=["geneval"])


def test_four_models_on_a_line():
    pair = study(table([1, 2, 3, 4], [4, 3, 2, 1]), x="fid", ys=["geneval"]).pairs[0]
    assert pair.agreement == 1
    assert (pair.ci_low, pair.ci_high) == (None, None)
    assert all(one.low is None for one in pair.coefficient("pearson").intervals)
    assert pair.p_value == pytest.approx(2 / 24)


def correlate(*words):
    command = [sys.executable, "-m", "nanogen_core", "bench", "correlate", *words]
    environment = {**os.environ, "COLUMNS": "80", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=120)


def command_line():
    return ("published", "--x", "fid_cfg", "--y", ",".join(YS), "--where", LATENT[0], "--where", "family!=MeanFlow")


def test_the_command_prints_json(latent):
    done = correlate(*command_line(), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [pair["y"] for pair in found["pairs"]] == YS
    keys = {"x", "y", "n", "pearson", "spearman", "kendall", "ci_low", "ci_high", "p_value", "agreement"}
    assert all(keys <= set(pair) for pair in found["pairs"])
    assert found["pairs"] == json.loads(json.dumps(latent.as_dict()["pairs"]))


def test_the_command_prints_tables_for_80_columns(latent):
    done = correlate(*command_line())
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "…" not in done.stdout  # nothing is cut off
    words = " ".join(done.stdout.split())
    for sentence in (*latent.summary, *latent.cautions):
        assert sentence in words
    for pair in latent.pairs:
        assert f"{pair.pearson:+.3f}" in words
        assert f"{pair.agreement:+.3f}" in words


def test_an_error_is_one_sentence():
    done = correlate("published", "--x", "fid_cfg", "--y", "genevall")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: published has no column 'genevall'. Did you mean 'geneval'?")
    assert len(done.stderr.splitlines()) == 1


def test_a_study_loads_no_torch():
    code = (
        "import sys; from nanogen_bench.correlation.study import study\n"
        "from nanogen_bench.correlation.table import read_table\n"
        "study(read_table('published'), x='fid_cfg', ys=['geneval'], draws=100)\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
