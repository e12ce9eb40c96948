"""Tests mean the same however they are started: a shell's background process, for one, ignores Ctrl-C."""

import signal

import pytest

# So that a failure says what differed, also where the tests share the assertion.
for kind in ("adapters", "fakes", "law", "machine", "machines", "stopping"):
    pytest.register_assert_rewrite(f"tests.{kind}")


def pytest_configure() -> None:
    """Let what tests start inherit Ctrl-C's usual meaning."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
