"""What images are compared with: files under either key style, images, folders; and the command that makes one."""

import json

import numpy as np
import pytest
import torch

from nanogen_core.errors import DataError
from nanogen_eval.sources.folder import Folder
from nanogen_fidelity.distances.frechet import moments
from nanogen_fidelity.extractor import shared
from nanogen_fidelity.reference import Reference
from nanogen_fidelity.statistics import all_of, compute_statistics, main

SPACE = shared("openmoji-classifier")


def close(found, expected):
    torch.testing.assert_close(found.mean, expected.mean, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(found.covariance, expected.covariance, rtol=1e-5, atol=1e-7)


def test_folders_and_archives_of_images_give_their_moments_and_rows(folder, archive):
    expected = moments(SPACE(folder[1]))
    for path in (folder[0], archive[0]):
        close(Reference(str(path)).moments(SPACE), expected)
        torch.testing.assert_close(Reference(str(path)).rows(SPACE), SPACE(folder[1]), rtol=1e-5, atol=1e-6)
    assert Reference(str(folder[0])).moments(SPACE).examples == 12


@pytest.mark.parametrize("prefix", ["", "ref_"])
def test_stored_moments_are_taken_before_images(prefix, tmp_path, archive):
    mean, covariance = np.ones(128, dtype=np.float32), np.eye(128)
    images = np.load(archive[0])["arr_0"]
    np.savez(tmp_path / "adm.npz", **{f"{prefix}mu": mean, f"{prefix}sigma": covariance, "arr_0": images})
    found = Reference(str(tmp_path / "adm.npz")).moments(SPACE)
    assert found.mean.dtype == found.covariance.dtype == torch.float64
    assert torch.equal(found.covariance, torch.eye(128).double())
    assert found.examples is None
    assert Reference(str(tmp_path / "adm.npz")).rows(SPACE).shape == (12, 128)


def test_statistics_come_back_with_their_count_and_features(folder, tmp_path):
    file = tmp_path / "made" / "stats.npz"
    made = compute_statistics(all_of(Folder(folder[0])), SPACE, file, keep_features=True)
    assert made["count"] == 12
    close(Reference(str(file)).moments(SPACE), moments(SPACE(folder[1])))
    assert Reference(str(file)).moments(SPACE).examples == 12
    torch.testing.assert_close(Reference(str(file)).rows(SPACE), SPACE(folder[1]), rtol=1e-5, atol=1e-6)


def test_statistics_of_other_weights_are_refused(folder, tmp_path):
    file = tmp_path / "stats.npz"
    compute_statistics(all_of(Folder(folder[0])), SPACE, file)
    content = dict(np.load(file))
    np.savez(file, **{**content, "space": json.dumps({**json.loads(str(content["space"])), "weights": "others"})})
    with pytest.raises(DataError, match="was made in the feature space"):
        Reference(str(file)).moments(SPACE)


def test_the_command_makes_a_reference(folder, tmp_path, capsys):
    file = tmp_path / "stats.npz"
    assert main([str(folder[0]), str(file), "--features", "openmoji-classifier"]) == 0
    assert json.loads(capsys.readouterr().out)["count"] == 12
    close(Reference(str(file)).moments(SPACE), moments(SPACE(folder[1])))
    assert main([str(tmp_path / "nowhere"), str(file)]) == 1
    assert "nowhere" in capsys.readouterr().err


def test_the_digest_is_of_the_content(folder, archive, tmp_path):
    before = Reference(str(folder[0])).digest
    assert Reference(str(folder[0])).digest == before
    first = sorted(folder[0].iterdir())[0]
    first.write_bytes((folder[0] / "11.png").read_bytes())
    assert Reference(str(folder[0])).digest != before
    from hashlib import sha256

    assert Reference(str(archive[0])).digest == sha256(archive[0].read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"mu": np.ones(5), "sigma": np.eye(5)}, "has 5 features"),
        ({"mu": np.ones(5), "sigma": np.eye(4)}, "do not match"),
        ({"mu": np.ones(128)}, "Its arrays are: mu"),
        ({"features": np.ones((4, 5))}, "has 5 features"),
        ({"mu": np.array([object()] * 128), "sigma": np.eye(128)}, "damaged"),
    ],
)
def test_files_of_something_else_are_one_sentence(arrays, sentence, tmp_path):
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(DataError, match=sentence):
        Reference(str(tmp_path / "other.npz")).moments(SPACE)


def test_moments_alone_have_no_rows(tmp_path):
    np.savez(tmp_path / "m.npz", mu=np.ones(128), sigma=np.eye(128))
    with pytest.raises(DataError, match="has no images"):
        Reference(str(tmp_path / "m.npz")).rows(SPACE)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04"])
def test_a_damaged_file_is_one_sentence(content, tmp_path):
    (tmp_path / "d.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"d\.npz"):
        Reference(str(tmp_path / "d.npz")).moments(SPACE)


def test_a_file_with_a_hole_is_one_sentence(tmp_path):
    np.savez(tmp_path / "c.npz", mu=np.ones(128), sigma=np.full((128, 128), 0.3))
    whole = (tmp_path / "c.npz").read_bytes()
    (tmp_path / "c.npz").write_bytes(whole[:5000] + bytes(40) + whole[5040:])
    with pytest.raises(DataError, match="damaged"):
        Reference(str(tmp_path / "c.npz")).moments(SPACE)
