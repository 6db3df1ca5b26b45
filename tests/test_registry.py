"""Discovery and the registry: broken plugins, collisions, near misses, what brings a missing one."""

from types import ModuleType

import pluggy
import pytest
from attrs import evolve

from nanogen_core import builtin, hookspecs, plugins, registry
from nanogen_core.errors import AmbiguousName, UnknownName
from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component


class Point:
    """An entry point without an installed distribution."""

    def __init__(self, distribution, name, load):
        self.distribution, self.version, self.name, self.load = distribution, "1.0", name, load
        self.value = f"{name}.plugin"


def manifest(*components, api=1, answer=list, **extra):
    module = ModuleType("manifest")
    module.NANOGEN_API = api
    module.nanogen_components = hookimpl(lambda: answer(components))
    for name, value in extra.items():
        setattr(module, name, value)
    return module


def no_components():
    return []


def sampler(name="s", **more):
    return Component(kind="sampler", name=name, target="x:Y", **more)


kinds_alone = ModuleType("kinds_alone")
kinds_alone.NANOGEN_API = 1
kinds_alone.nanogen_kinds = builtin.nanogen_kinds


@pytest.fixture
def scan(monkeypatch):
    def scan(*points):
        core = Point("nanogen-core", "core", lambda: kinds_alone)
        monkeypatch.setattr(plugins, "entry_points", lambda group: (core, *points))
        known = registry.collect(plugins.discover.__wrapped__())
        return evolve(known, plugins=tuple(plugin for plugin in known.plugins if plugin.name != "core"))

    return scan


def raising(error):
    def load():
        raise error

    return load


def test_a_broken_plugin_is_shown_and_the_others_work(scan):
    known = scan(
        Point("bad", "bad", raising(ImportError("no module named numpyy"))),
        Point("good", "good", lambda: manifest(sampler("walk"))),
    )
    assert [(p.name, p.error) for p in known.plugins] == [
        ("bad", "ImportError: no module named numpyy"),
        ("good", None),
    ]
    assert known.component("sampler", "walk").distribution == "good"


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (manifest(api=2), "NANOGEN_API = 2, but must have 1: correct or update the plugin, or update nanogen-core"),
        (manifest(api=0), "NANOGEN_API = 0, but must have 1: correct or update the plugin"),
        (manifest(nanogen_component=hookimpl(no_components)), "unknown hook 'nanogen_component'"),
        (manifest("no component"), "expected a Component"),
        (manifest(Component(kind="samplerr", name="s", target="x:Y")), "unknown kind 'samplerr'"),
        (
            manifest(Component(kind="sampler", name="s", target=Point)),
            "target must be a string 'module:Name', got <class",
        ),
        (manifest(sampler(config=Point)), "config must be a string 'module:Name', got <class"),
        (manifest(sampler(name=3)), "Component 3: the name must be a string"),
        (manifest(sampler(defaults=["x"])), "Component 's': the name must be a string and the defaults a mapping"),
    ],
)
def test_a_faulty_manifest_is_refused_alone(scan, module, reason):
    known = scan(Point("bad", "bad", lambda: module), Point("good", "good", lambda: manifest(sampler())))
    errors = {plugin.name: plugin.error for plugin in known.plugins}
    assert reason in errors["bad"]
    assert errors["good"] is None
    assert list(known.components["sampler"]) == ["s"]


def test_a_plugin_that_raises_in_a_hook_is_shown(scan):
    module = manifest()
    module.nanogen_components = hookimpl(raising(RuntimeError("out of order")))
    known = scan(Point("bad", "bad", lambda: module))
    assert known.plugins[0].error == "nanogen_components: RuntimeError: out of order"


def test_two_distributions_with_one_entry_point_name_are_both_there(scan):
    known = scan(
        Point("one", "same", lambda: manifest(sampler("a"))), Point("two", "same", lambda: manifest(sampler("b")))
    )
    assert sorted(known.components["sampler"]) == ["a", "b"]


def test_a_name_of_two_distributions_is_refused_only_when_asked_for(scan):
    known = scan(
        Point("one", "p", lambda: manifest(sampler(), sampler("other"))), Point("two", "p", lambda: manifest(sampler()))
    )
    assert known.component("sampler", "other").distribution == "one"
    with pytest.raises(AmbiguousName, match="2 distributions offer the sampler 's': write 'one:s' or 'two:s'"):
        known.component("sampler", "s")
    assert known.component("sampler", "two:s").distribution == "two"


def test_a_near_miss_and_what_exists_are_named(scan):
    known = scan(Point("good", "good", lambda: manifest(sampler("euler"), sampler("heun"))))
    with pytest.raises(UnknownName, match="no sampler 'eular'. Did you mean 'euler'\\? .* Installed: euler, heun"):
        known.component("sampler", "eular")


def test_an_unknown_name_may_be_one_of_a_plugin_file(scan):
    known = scan(Point("good", "good", lambda: manifest(sampler("self-flow"))))
    for name in ("huber-flow", "xyz"):  # with and without a similar name
        with pytest.raises(UnknownName, match="If a Python file defines it, add `--plugin FILE`"):
            known.component("sampler", name)


def test_a_broken_plugin_is_named_where_its_component_is_asked_for(scan):
    known = scan(Point("nanogen-fancy", "fancy", raising(ImportError("libfancy.so"))))
    with pytest.raises(UnknownName, match="belongs to nanogen-fancy, which could not be loaded: ImportError: libfancy"):
        known.method("fancy")


@pytest.mark.parametrize("answer", [list, iter])
def test_a_plugin_that_is_dropped_for_one_offer_is_named_by_all_its_names(scan, answer):
    """One component of an unknown kind takes the whole plugin away, its task and its method too."""
    task = Component(kind="task", name="video", target="x:Y")
    wrong = Component(kind="samplerr", name="s", target="x:Y")
    broken = manifest(task, wrong, answer=answer)
    known = scan(Point("nanogen-fancy", "fancy", lambda: broken), Point("good", "good", manifest))
    sentence = "task 'video' belongs to nanogen-fancy, which could not be loaded: .*unknown kind 'samplerr'"
    with pytest.raises(UnknownName, match=sentence):
        known.component("task", "video")


def test_a_name_that_nobody_has_brings_up_the_broken_plugins(scan):
    known = scan(Point("nanogen-fancy", "fancy", raising(ImportError("libfancy.so"))), Point("good", "good", manifest))
    with pytest.raises(
        UnknownName, match="no task 'video'.* could not be loaded: nanogen-fancy: ImportError: libfancy"
    ):
        known.component("task", "video")


def test_the_error_for_a_known_plugin_says_what_to_install(scan, monkeypatch):
    monkeypatch.setattr("importlib.metadata.requires", lambda name: ["nanogen-sun>=1; extra == 'sun'", "torch"])
    registry.known_distributions.cache_clear()
    try:
        with pytest.raises(UnknownName, match="run `pip install nanogen-sun`"):
            scan().method("sun")
    finally:
        registry.known_distributions.cache_clear()


def test_a_recipe_of_two_distributions_has_its_full_names_alone(scan):
    first = manifest(nanogen_recipes=hookimpl(lambda: {"demo": "one:demo.yaml", "own": "one:own.yaml"}))
    second = manifest(nanogen_recipes=hookimpl(lambda: {"demo": "two:demo.yaml"}))
    known = scan(Point("one", "p", lambda: first), Point("two", "p", lambda: second))
    assert known.recipes == {"one:demo": "one:demo.yaml", "two:demo": "two:demo.yaml", "own": "one:own.yaml"}


def test_the_extras_of_the_core_name_every_plugin_of_this_repository():
    from pathlib import Path

    here = {path.name for path in (Path(__file__).parents[1] / "plugins").glob("nanogen-*")}
    assert here <= set(registry.known_distributions().values())


def test_the_hooks_are_what_pluggy_knows():
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    named = {name for name in vars(hookspecs) if name.startswith("nanogen_")}
    assert named == {name for name in vars(manager.hook) if name.startswith("nanogen_")}
