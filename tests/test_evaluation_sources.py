"""Sources of existing images: folders in natural order, archives row by row, and their errors."""

import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from nanogen_core.errors import ConfigError, DataError, NanoGenError, UnknownName
from nanogen_core.tensors import Batch
from nanogen_eval import metric_factory
from nanogen_eval.cli.evaluate import evaluate
from nanogen_eval.sources.archive import Archive
from nanogen_eval.sources.folder import Folder, natural
from nanogen_eval.targets import Images
from nanogen_eval.testing.fakes import TinyRedness
from nanogen_files.images import to_uint8

GENERATOR = np.random.default_rng(0)


def pixels(count, size=8):
    return GENERATOR.integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def write(folder, images, names):
    for image, name in zip(images, names, strict=True):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path, **({"lossless": True} if path.suffix == ".webp" else {}))


def bytes_of(source, size=3):
    """The images of a source as bytes [N, H, W, 3], read in batches of `size`."""
    count = len(source.requests.indices)
    spans = [range(start, min(start + size, count)) for start in range(0, count, size)]
    batches = list(source.read(spans))
    assert [index for batch in batches for index in batch.indices.tolist()] == list(range(count))
    return np.concatenate([to_uint8(batch.images).permute(0, 2, 3, 1).numpy() for batch in batches])


# -- folders ---------------------------------------------------------------------------------------------------------


def test_files_are_read_byte_for_byte_in_natural_order(tmp_path):
    images = pixels(5)
    write(tmp_path, images, ["1.png", "2.webp", "10.png", "a/3.PNG", "a/20.png"])
    write(tmp_path, pixels(3, 16), ["grid.png", ".hidden.png", ".thumbs/4.png"])
    (tmp_path / "notes.txt").write_text("unknown format")
    assert np.array_equal(bytes_of(Folder(tmp_path)), images)


def test_numbers_in_names_count_as_numbers():
    names = ["b10", "b9", "a2b10", "a2b9", "a10"]
    assert sorted(names, key=natural) == ["a2b9", "a2b10", "a10", "b9", "b10"]


def test_labels_and_prompts_are_read_from_the_folder(tmp_path):
    write(tmp_path, pixels(3), ["0.png", "1.png", "2.png"])
    (tmp_path / "labels.csv").write_text("file,label\n2.png,7\n0.png,5\n1.png,6\n9.png,1\n")
    (tmp_path / "prompts.csv").write_text('file,prompt\n0.png,"a cat, red"\n1.png,b\n2.png,c\n')
    requests = Folder(tmp_path).requests
    assert requests.labels.tolist() == [5, 6, 7]
    assert requests.captions == ["a cat, red", "b", "c"]
    (tmp_path / "prompts.csv").unlink()
    (tmp_path / "prompts.txt").write_text("x\ny\nz\n")
    assert Folder(tmp_path, count=2).requests.captions == ["x", "y"]


def test_images_of_different_sizes_are_in_different_batches(tmp_path):
    write(tmp_path, [*pixels(2), *pixels(1, 12), *pixels(2)], [f"{n}.png" for n in range(5)])
    batches = list(Folder(tmp_path).read([range(5)]))
    assert [tuple(batch.images.shape) for batch in batches] == [(2, 3, 8, 8), (1, 3, 12, 12), (2, 3, 8, 8)]
    assert [batch.indices.tolist() for batch in batches] == [[0, 1], [2], [3, 4]]


def broken(folder):
    data = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (broken, r"The image .*1\.png cannot be read"),
        (lambda folder: (folder / "labels.csv").write_text("file,label\n0.png,1\n"), "has no line for '1.png'"),
        (
            lambda folder: (folder / "labels.csv").write_text("file,label\n0.png,cat\n1.png,2\n"),
            "'cat' is not a nonnegative integer",
        ),
        (lambda folder: (folder / "labels.csv").write_text("0.png,1\n"), "the columns `file` and `label`"),
        (lambda folder: (folder / "prompts.txt").write_text("one\n"), "has 1 line for 2 images"),
    ],
)
def test_errors_of_a_folder(tmp_path, spoil, sentence):
    write(tmp_path, pixels(2, 32), ["0.png", "1.png"])
    spoil(tmp_path)
    with pytest.raises(DataError, match=sentence):
        bytes_of(Folder(tmp_path))


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="There are no images in .* give a folder with PNG, JPEG or WebP"):
        Folder(tmp_path)


# -- archives --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives_of_other_programs_are_read_byte_for_byte(tmp_path, save):
    images, labels = pixels(7), np.arange(7, dtype=np.int32)
    save(tmp_path / "samples.npz", images, labels)
    source = Archive(tmp_path / "samples.npz")
    assert np.array_equal(bytes_of(source), images)
    assert source.requests.labels.tolist() == labels.tolist()
    assert [int(batch.indices[0]) for batch in source.read([range(5, 7)])] == [5]  # earlier rows are skipped
    assert len(Archive(tmp_path / "samples.npz", count=3).requests.indices) == 3


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_is_read_in_parts(tmp_path, save):
    save(tmp_path / "samples.npz", np.zeros((600, 128, 128, 3), dtype=np.uint8))  # 29.5 MB
    tracemalloc.start()
    source = Archive(tmp_path / "samples.npz")
    for batch in source.read([range(start, start + 10) for start in range(0, 600, 10)]):
        assert len(batch.images) == 10
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4e6


def fortran(path):
    np.savez(path, np.asfortranarray(pixels(2)))


def floats(path):
    np.savez(path, pixels(2) / 255)


def named(path):
    np.savez(path, images=pixels(2))


def labelled(path):
    np.savez(path, pixels(2), np.arange(3))


def pickled(path):
    np.savez(path, pixels(2), np.array([{}, {}], dtype=object))


def cut(path):
    np.savez(path, pixels(50))
    path.write_bytes(path.read_bytes()[:3000])


def flipped(path):
    np.savez_compressed(path, np.zeros((50, 32, 32, 3), dtype=np.uint8))
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(bytes(data))


def no_array(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("arr_0.npy", b"no array at all")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (fortran, r"in Fortran order\. It must be uint8"),
        (floats, "float64 .* must be uint8"),
        (named, r"has no array 'arr_0'\. It contains: images\.npy"),
        (labelled, "'arr_1' is int64 .* must be 2 integers"),
        (pickled, "cannot be read as an .npz"),
        (cut, "cannot be read as an .npz"),
        (flipped, "damaged|cannot be read"),
        (no_array, "cannot be read as an .npz"),
        (lambda path: path.write_bytes(b""), "cannot be read as an .npz"),
    ],
)
def test_errors_of_an_archive(tmp_path, make, sentence):
    make(tmp_path / "samples.npz")
    with pytest.raises(DataError, match=rf"samples\.npz.*({sentence})"):
        bytes_of(Archive(tmp_path / "samples.npz"))


# -- metrics for images ----------------------------------------------------------------------------------------------

PLAIN = Batch(torch.arange(3))
LABELLED = PLAIN._replace(labels=torch.tensor([0, 1, 2]))


def test_metrics_for_images_are_built():
    assert list(metric_factory.of_images(LABELLED, ["openmoji-accuracy"], {})) == ["openmoji-accuracy"]
    context = {"task": "imagenet", "dataset": "openmoji", "method": "vae", "backbone": "lightning-dit"}
    assert list(metric_factory.of_images(LABELLED, ["openmoji-frechet"], {}, context)) == ["openmoji-frechet"]


@pytest.mark.parametrize(
    ("requests", "names", "settings", "error", "sentence"),
    [
        (PLAIN, ["openmoji-acuracy"], {}, UnknownName, "Did you mean 'openmoji-accuracy'"),
        (PLAIN, [], {}, ConfigError, "Choose some with --metrics NAME,NAME. Installed metrics: .*openmoji-accuracy"),
        (
            PLAIN,
            ["openmoji-accuracy"],
            {},
            NanoGenError,
            r"needs labels, .* Add labels.csv with the columns file,label",
        ),
        (
            LABELLED._replace(labels=torch.tensor([0, 64, 1])),
            ["openmoji-accuracy"],
            {},
            DataError,
            r"label of image 1 is 64; labels must be integers from 0 to 63 \(64 classes\)",
        ),
        (
            LABELLED,
            ["openmoji-scenes"],
            {},
            NanoGenError,
            r"needs captions, .* Add prompts.csv with the columns file,prompt",
        ),
        (LABELLED, ["openmoji-accuracy"], {"metric": {"openmoji-accuracy": {"x": 1}}}, ConfigError, "takes no options"),
        (LABELLED, ["openmoji-accuracy"], {"metric": {"kid": {"x": 1}}}, ConfigError, "--set has options of kid"),
        (LABELLED, ["openmoji-accuracy"], {"dataset": "openmoji"}, ConfigError, "--set dataset: images have no"),
        (
            PLAIN._replace(captions=["a"] * 3),
            ["openmoji-scenes"],
            {},
            ConfigError,
            "openmoji-scenes needs the dataset of a configuration: add --config",
        ),
        (
            PLAIN,
            ["openmoji-frechet"],
            {},
            ConfigError,
            "openmoji-frechet needs the dataset and the task of a configuration: add --config",
        ),
    ],
)
def test_errors_of_metrics_for_images(requests, names, settings, error, sentence):
    with pytest.raises(error, match=sentence):
        metric_factory.of_images(requests, names, settings)


class Three(TinyRedness):
    def eval_batch(self):
        return Batch(torch.arange(3), captions=["a", "b", "c"])


def test_images_without_prompts_get_those_of_the_metric(tmp_path):
    write(tmp_path, pixels(3), ["0.png", "1.png", "2.png"])
    ((source, _),) = Images(Folder(tmp_path)).parts({"three": Three()}, None)
    assert [batch.captions for batch in source.read([range(2), range(2, 3)])] == [["a", "b"], ["c"]]
    write(tmp_path, pixels(1), ["3.png"])
    with pytest.raises(DataError, match="three: got 4 images for 3 prompts"):
        list(Images(Folder(tmp_path)).parts({"three": Three()}, None))


def test_sampling_options_are_refused_for_images(tmp_path):
    write(tmp_path, pixels(2), ["0.png", "1.png"])
    words = [str(tmp_path), "--metrics", "openmoji-accuracy", "--seed", "1", "--steps", "3", "--compile", "--no-tf32"]
    ran = CliRunner().invoke(evaluate, words)
    assert isinstance(ran.exception, ConfigError)
    found = "This command samples no model, so it cannot use --seed, --steps, --compile, --no-tf32. Remove them."
    assert str(ran.exception) == found
