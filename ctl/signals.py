"""Signals as something to wait for with select(2), so that none cuts a line in two."""

import signal
import socket
from types import FrameType
from typing import Self


class Signals:
    """While entered, the named signals do nothing but make this readable; `read` says which came."""

    def __init__(self, *numbers: signal.Signals) -> None:
        self._numbers = numbers

    def __enter__(self) -> Self:
        self._here, self._there = socket.socketpair()
        self._here.settimeout(0)
        self._there.settimeout(0)
        self._wakeup = signal.set_wakeup_fd(self._there.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _nothing) for number in self._numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        self._here.close()
        self._there.close()

    def fileno(self) -> int:
        return self._here.fileno()

    def read(self) -> list[int]:
        try:
            return list(self._here.recv(64))
        except BlockingIOError:
            return []


def _nothing(number: int, frame: FrameType | None) -> None:
    """Python writes the number to the wakeup descriptor before it comes here."""
