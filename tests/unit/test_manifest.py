"""Manifests: the samples in tests/manifests, and what has to be true of every text."""

import json
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.manifest import (
    LARGEST,
    Hooks,
    Log,
    Manifest,
    Place,
    Ready,
    Resources,
    Service,
    Volume,
    joined,
    parse,
    show,
    with_replicas,
)
from daemon.manifest_fields import CAPABILITIES, LEAST_LOG, LEAST_MEMORY, ULIMITS, UNLIMITED
from daemon.wire import Refused

HOUSE = Path(__file__).parents[2]
SAMPLES = HOUSE / "tests/manifests"
STRUCTS = (Manifest, Service, Volume, Ready, Hooks, Place, Log, Resources)


def samples(kind: str) -> list[Path]:
    return sorted(file for file in (SAMPLES / kind).iterdir() if file.suffix != ".error")


@pytest.mark.parametrize("file", samples("valid"), ids=lambda file: file.name)
def test_a_valid_sample_is_read_and_written_and_read_again(file: Path) -> None:
    manifest = parse(file.read_text())
    assert parse(show(manifest)) == manifest
    assert msgspec.json.decode(msgspec.json.encode(manifest), type=Manifest) == manifest


@pytest.mark.parametrize("file", samples("invalid"), ids=lambda file: file.name)
def test_an_invalid_sample_is_refused_with_the_error_beside_it(file: Path) -> None:
    with pytest.raises(Refused) as refused:
        parse(file.read_text())
    first = refused.value.why.splitlines()[0]
    assert f"{refused.value.code}: {first}\n" == file.with_suffix(".error").read_text()


def test_the_shop_in_full() -> None:
    shop = parse((SAMPLES / "valid/shop.toml").read_text())
    db, web = shop.services["db"], shop.services["web"]
    assert (db.update, web.update) == ("recreate", "blue_green")
    assert db.ready == Ready(exec=("pg_isready", "-U", "postgres"), every=0.5, timeout=120.0)
    assert shop.routes("web") == ("shop.example.com", "shop.preview.example.com/api")
    assert shop.volumes == {"data": Volume(quota=10 * 2**30, owner="999:999", mode="0700")}


FILED = """namespace = "shop"  # mine
services.web.image = "web"
services.web.files = { "/etc/a" = "./a", "/etc/b" = "b.bin" }
"""
FILES = {"./a": b'"hi"\n', "b.bin": b"\xff\0"}


def test_what_files_contain_is_joined_to_the_text_as_a_person_wrote_it() -> None:
    text = joined(FILED, FILES)
    assert text.startswith(FILED)
    assert parse(text).files == FILES
    assert parse(joined(json.dumps(tomllib.loads(FILED)), FILES)) == parse(text)
    assert joined(text, {}) == text


def test_what_is_in_the_text_already_stays_beside_what_is_sent() -> None:
    half = joined(FILED, {"./a": FILES["./a"]})
    assert parse(joined(half, {"b.bin": FILES["b.bin"]})) == parse(joined(FILED, FILES))


def test_json_and_toml_of_one_shape_are_one_manifest() -> None:
    text = (SAMPLES / "valid/shop.toml").read_text()
    assert parse(json.dumps(tomllib.loads(text))) == parse(text)


def test_all_faults_are_told_at_once_and_the_first_gives_code_and_hint() -> None:
    with pytest.raises(Refused) as refused:
        parse('namespace = "shop"\n[services.web]\nimag = "web"\nreplicas = "two"\n')
    assert refused.value.code == "manifest.unknown_key"
    assert refused.value.hint == "write services.web.image"
    assert [line.partition(":")[0] for line in refused.value.why.splitlines()] == [
        "services.web.imag",
        "services.web.replicas",
    ]


def test_many_faults_are_cut_short() -> None:
    text = 'namespace = "shop"\n' + "".join(f"x{at} = 1\n" for at in range(30))
    with pytest.raises(Refused) as refused:
        parse(text)
    assert refused.value.why.splitlines()[-1] == "and 10 more"


def test_too_large_is_counted_in_bytes() -> None:
    text = 'namespace = "shop"\n#'
    assert parse(text + "x" * (LARGEST - len(text))) == Manifest("shop")
    with pytest.raises(Refused, match="262145 bytes") as refused:
        parse(text + "x" * (LARGEST - len(text) - 1) + "ü")
    assert refused.value.code == "manifest.too_large"


@pytest.mark.parametrize("text", ["a = " + "[" * 50_000, '{"a":' * 50_000, 'a = "\ud800"', "a = " + "9" * 5000])
def test_hostile_text_is_a_mistake_of_syntax(text: str) -> None:
    with pytest.raises(Refused) as refused:
        parse(text)
    assert refused.value.code == "manifest.syntax"


def keys(kind: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(kind)}


def keys_of(tree: Any) -> set[str]:
    return set(tree) | {key for value in tree.values() if isinstance(value, dict) for key in keys_of(value)}


def test_the_reference_names_every_field_and_its_example_is_a_manifest() -> None:
    text = (HOUSE / "docs/manifest.md").read_text()
    example = text.partition("```toml\n")[2].partition("```")[0]
    assert parse(example).namespace == "shop"
    for kind in STRUCTS:
        assert not (missing := {key for key in keys(kind) if f"`{key}`" not in text}), missing
        assert keys(kind) - {"tcp", "http", "port", "entrypoint"} <= keys_of(tomllib.loads(example))


def test_every_code_is_in_the_list_of_errors() -> None:
    told = {file.read_text().partition(":")[0] for file in (SAMPLES / "invalid").glob("*.error")}
    text = (HOUSE / "docs/errors.md").read_text()
    assert not {code for code in {*told, "manifest.too_large"} if f"`{code}`" not in text}


# ------------------------------------------------------------------------------------------------- every text

ODD = {"shop", "data", "web", "/srv", "global", "1s", "", "-", "é", "mounts"}
WORDS = sorted(ODD.union(*(keys(kind) for kind in STRUCTS)))
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(WORDS)
)  # not only what JSON could say
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5)
)
SERVICES = st.dictionaries(st.sampled_from(["web", "db", "-"]), st.dictionaries(st.sampled_from(WORDS), TREES))


def refused_or_stable(text: str) -> None:
    try:
        manifest = parse(text)
    except Refused as refused:
        told = msgspec.json.encode(refused.error)  # fails on what is no text
    else:
        assert parse(show(manifest)) == manifest
        return
    assert msgspec.json.decode(told)["code"].startswith("manifest.")


@given(st.text() | st.text("[]{}=.,\"' \na1"))
def test_any_text_is_read_or_refused(text: str) -> None:
    refused_or_stable(text)


@given(st.binary())
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    refused_or_stable(raw.decode(errors="surrogateescape"))


@given(TREES | st.fixed_dictionaries({"namespace": st.just("shop"), "services": SERVICES | TREES}))
def test_any_tree_is_read_or_refused(tree: Any) -> None:
    refused_or_stable(json.dumps(tree))


# ---------------------------------------------------------------------------------------------- every manifest

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
ARGV = st.lists(TEXTS, min_size=1, max_size=3).map(tuple)
PATHS = TEXTS.filter(bool)
TIMES = st.floats(0.001, 7 * 24 * 3600) | st.integers(1, 900).map(float)
SIZES = st.integers(1, 2**60) | st.integers(1, 2**20).map(lambda count: count * 2**30)
TARGETS = st.from_regex(r"/[a-z]{1,8}(/[a-z ü.]{3,8})?", fullmatch=True)
VARIABLES = st.from_regex(r"[A-Za-z_.ü][A-Za-z0-9_.]{0,8}", fullmatch=True)
READY = st.builds(Ready, exec=ARGV, every=TIMES, timeout=TIMES)
VOLUMES = st.builds(
    Volume, quota=st.none() | SIZES, owner=st.none() | st.just("1:2"), mode=st.none() | st.sampled_from(["700", "0755"])
)

NUMBERS = st.integers(0, 2**40)
LIMITS = st.one_of(
    st.tuples(NUMBERS, NUMBERS).map(lambda both: (min(both), max(both))),
    st.tuples(NUMBERS, st.just(UNLIMITED)),
    st.just((UNLIMITED, UNLIMITED)),
)
MAY: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "ulimits": st.dictionaries(st.sampled_from(ULIMITS), LIMITS, max_size=2),
        "devices": st.lists(st.sampled_from(["/dev/fuse", "/dev/net/tun"]), max_size=2).map(tuple),
        "cap_add": st.lists(st.sampled_from(CAPABILITIES), max_size=3).map(tuple),
        "read_only": st.booleans(),
        "log": st.builds(Log, max=st.integers(LEAST_LOG, 2**40)),
        "resources": st.builds(
            Resources, cpus=st.none() | st.floats(0.01, 1024), memory=st.none() | st.integers(LEAST_MEMORY, 2**40)
        ),
        "place": st.none() | st.builds(Place, NAMES),
    },
)
"""Settings that stand for themselves."""
SECRETS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{}, {"secrets": ("A", "B")}, {"secrets": ("A", "B"), "branch_secrets": ("B",)}]
)
PUBLISHED = st.integers(1, 65535).map(str)


@st.composite
def service(draw: st.DrawFn, volumes: list[str]) -> Service:
    ports = draw(st.dictionaries(NAMES, st.integers(1, 65535), max_size=3))
    ports = {name: number for number, name in {number: name for name, number in ports.items()}.items()}
    targets = draw(st.lists(TARGETS, unique=True, min_size=len(volumes), max_size=len(volumes)))
    ready = st.none() | READY
    if ports:
        ready |= st.builds(Ready, tcp=st.sampled_from(sorted(ports)))
        ready |= st.builds(Ready, http=st.just("/healthz?a=b"), port=st.sampled_from(sorted(ports)))
    return Service(
        image=draw(st.from_regex(r"[a-z0-9][a-z0-9._/:@-]{0,20}", fullmatch=True)),
        pull=draw(st.sampled_from(["missing", "always", "never"])),
        command=draw(st.none() | ARGV),
        entrypoint=draw(st.none() | ARGV),
        env=draw(st.dictionaries(VARIABLES, TEXTS, max_size=3)),
        user=draw(st.none() | st.just("postgres")),
        workdir=draw(st.none() | TARGETS),
        volumes=dict(zip(volumes, targets, strict=True)),
        ports=ports,
        ready=draw(ready),
        stop_grace=draw(TIMES | st.just(0.0)),
        shm=draw(st.none() | SIZES),
        replicas=1 if volumes else draw(st.integers(1, 1000)),
        update="recreate" if volumes else draw(st.sampled_from(["recreate", "blue_green"])),
        restart=draw(st.sampled_from(["on-failure", "no"])),
        **draw(SECRETS),
        hooks=Hooks(before=draw(st.just(()) | ARGV)),
        **draw(MAY),
        publish=draw(st.just({}) | st.dictionaries(PUBLISHED, st.sampled_from(sorted(ports)))) if ports else {},
    )


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    volumes = draw(st.lists(NAMES, unique=True, max_size=3))
    names = draw(st.lists(NAMES, unique=True, max_size=3))
    services = {}
    for at, name in enumerate(names):
        made = draw(service(volumes if at == 0 else []))
        after = draw(st.lists(st.sampled_from(names[:at]), unique=True)) if at else list[str]()
        routes = [f"{name}.example.com/{at}"] if made.ports else []
        hooks = Hooks(("x",), (names[0],)) if volumes and at % 2 else made.hooks
        services[name] = msgspec.structs.replace(made, after=tuple(after), routes=tuple(routes), hooks=hooks)
    declared = {name: draw(VOLUMES) for name in volumes}
    files = draw(st.dictionaries(PATHS, st.binary(max_size=12) | TEXTS.map(str.encode), max_size=3)) if names else {}
    if files:
        named = {f"/files/{at}": path for at, path in enumerate(files)}
        services[names[-1]] = msgspec.structs.replace(services[names[-1]], files=named)
    return Manifest(draw(NAMES), _published_once(services), declared, draw(st.integers(1, 1000)), files)


def _published_once(services: dict[str, Service]) -> dict[str, Service]:
    first: dict[str, str] = {}
    for name, service in services.items():
        first |= {port: name for port in service.publish if port not in first}
    return {
        name: msgspec.structs.replace(each, publish={p: to for p, to in each.publish.items() if first[p] == name})
        for name, each in services.items()
    }


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # a busy machine is no fault of what is tried
@given(manifests())
def test_what_is_shown_is_read_as_exactly_the_same(manifest: Manifest) -> None:
    text = show(manifest)
    assert parse(text) == manifest
    assert list(parse(text).services) == list(manifest.services)
    assert show(parse(text)) == text


def test_another_number_of_replicas_leaves_the_rest_of_a_text_as_it_was() -> None:
    web = '[services.web]\nimage = "web:1"\nports = { web = 80 }\nroutes = ["{namespace}.example.com"]\n'
    text = f'namespace = "shop"\n{web}'
    scaled = with_replicas(text, "web", 3)
    assert "{namespace}" in scaled
    assert parse(scaled).services == {"web": msgspec.structs.replace(parse(text).services["web"], replicas=3)}
