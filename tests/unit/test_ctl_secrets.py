"""What `secret set` and `registry login` read: one line without its end, or every byte; typed, it is not shown."""

import pytest

from daemon import wire
from daemon.wire import LARGEST_SECRET, RegistryLogin, SecretSet, Success
from tests.fakes.ployzd import answering, daemon, document
from tests.fakes.terminal import ployzctl, terminal
from tests.unit.test_ctl_results import LONG_AGO, text, years

DONE = answering(Success("secret", {"namespace": "shop", "name": "KEY", "version": 2, "kept": [1]}))


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (b"word", b"word"),
        (b"word\n", b"word"),
        (b"word\r\n", b"word"),
        (b" two words \n", b" two words "),
        (b"word\n\n", b"word\n\n"),
        (b"-----BEGIN-----\nx\n", b"-----BEGIN-----\nx\n"),
        (b"\xff\xfe\n", b"\xff\xfe\n"),
        (b"a\0b\n", b"a\0b\n"),
        (b"x" * LARGEST_SECRET, b"x" * LARGEST_SECRET),
    ],
)
def test_what_is_taken_of_stdin(given: bytes, taken: bytes) -> None:
    with daemon(DONE, DONE) as playing:
        done = ployzctl("secret", "set", "shop/KEY", "--socket", playing.socket, input=given)
        ployzctl("registry", "login", "example.com", "--user", "ann", "--socket", playing.socket, input=given)
    assert done.out == "shop/KEY is at version 2; kept for what names it: version 1.\n"
    assert playing.asked() == [SecretSet("shop", "KEY", taken), RegistryLogin("example.com", "ann", taken)]


@pytest.mark.parametrize(
    ("given", "code"),
    [(b"", "secret.empty"), (b"\n", "secret.empty"), (b"x" * (LARGEST_SECRET + 1), "secret.too_large")],
)
def test_what_cannot_be_a_secret_is_not_even_sent(given: bytes, code: str) -> None:
    done = ployzctl("secret", "set", "shop/KEY", "--socket", "/nowhere", "--json", input=given)
    assert (done.code, document(done.out)["error"]["code"]) == (3, code)


def test_what_is_typed_is_not_shown() -> None:
    with daemon(DONE) as playing, terminal("secret", "set", "shop/KEY", "--socket", playing.socket) as person:
        person.until("shop/KEY: ")
        person.types(b"typed word\n")
        person.until("is at version 2")
        assert person.ends() == 0
    assert "typed" not in person.seen
    assert playing.asked() == [SecretSet("shop", "KEY", b"typed word")]


@pytest.mark.parametrize("name", ["shop", "shop/", "/KEY", "shop/KEY/1"])
def test_a_secret_has_a_namespace_and_a_name(name: str) -> None:
    for verb in ("set", "rm"):
        assert ployzctl("secret", verb, name, "--socket", "/nowhere").code == 2


def test_results_as_text() -> None:
    assert text("secret", wire.Secret("shop", "KEY", None, [1, 2])) == [
        "shop/KEY is removed; kept for what names them: versions 1, 2."
    ]
    assert text("secret", wire.Secret("shop", "KEY", 1, [])) == ["shop/KEY is at version 1."]
    when = years()
    since = "SET".ljust(len(when))
    assert text("secrets", {"secrets": [wire.SecretRow("KEY", 12, LONG_AGO, "ann", ["db", "web"])]}) == [
        f"SECRET   VERSION   {since}   BY    USED BY",
        f"KEY           12   {when}   ann   db, web",
    ]
    assert text("secrets", {"secrets": []}) == ["There are no secrets."]
    assert text("registry", wire.Registry("example.com", None)) == ["The cluster is nobody at example.com."]
    assert text("registries", {"registries": [wire.RegistryRow("example.com", "bot", LONG_AGO, "ann")]}) == [
        f"REGISTRY      USER   {since}   BY",
        f"example.com   bot    {when}   ann",
    ]
    assert text("rotated", wire.Rotated([], [], ["m1"], [])) == ["All that is sealed is sealed for m1."]
    anew = wire.Rotated(
        [wire.Resealed("shop", "KEY", [1, 2])], ["example.com"], ["m1", "m2"], ["version 1 of shop/KEY"]
    )
    assert text("rotated", anew) == [
        "Sealed for m1, m2: versions 1, 2 of shop/KEY, the password at example.com.",
        "No machine opens version 1 of shop/KEY: what is to be seen of that has to be set anew.",
    ]
    assert text("registries", {"registries": []}) == ["The cluster is nobody at any registry."]
