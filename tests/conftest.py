"""Tests mean the same however they are started: a shell's background process, for one, ignores Ctrl-C."""

import signal


def pytest_configure() -> None:
    """Let what tests start inherit Ctrl-C's usual meaning."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
