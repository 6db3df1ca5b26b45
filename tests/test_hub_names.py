"""A source that is no local folder is either the name of a hub model, or a path that does not exist."""

import pytest

from nanogen_core.errors import DataError
from nanogen_files import hub
from nanogen_files.pretrained import from_pretrained

PATHS = ["/no/such/folder", "./none", "../none", "~/none", "a/b/c"]
NAMES = ["user/name", "gpt2", "stabilityai/sd-vae-ft-mse", "facebook/convnextv2-base-22k-224"]


class AutoUnreached:
    @classmethod
    def from_pretrained(cls, source: str, **options: object) -> None:
        raise AssertionError(source)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def reachable() -> bool:
        raise AssertionError("the network was used")

    monkeypatch.setattr(hub, "reachable", reachable)


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_refused_without_a_look_at_the_hub(path: str) -> None:
    message = hub.missing("The VAE", path, "Advice.", OSError())
    assert message == f"The VAE {path!r} is neither a local folder nor the name of a model on the hub. Advice."
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        hub.model_file(path, "config.json")
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        from_pretrained(AutoUnreached, path)


def test_a_path_is_not_the_name_of_a_pipeline() -> None:
    with pytest.raises(DataError, match=r"There is no folder \./none\. Give an existing folder"):
        hub.pipeline_folder("./none")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_looked_up_on_the_hub(name: str) -> None:
    unreached, damaged = OSError("no\nnetwork."), KeyError("pos_embed")
    assert "cannot be downloaded from the Hugging Face hub (no network). " in hub.missing(
        "The VAE", name, "", unreached
    )
    assert "cannot be read from the Hugging Face hub (KeyError: 'pos_embed')" in hub.missing("It", name, "", damaged)
    with pytest.raises(AssertionError, match="the network was used"):
        hub.model_file(name, "config.json")
