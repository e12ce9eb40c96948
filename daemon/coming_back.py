"""What a daemon does when its machine, or another one, can be reached again: what waited for that goes on."""

import asyncio
import logging

from daemon.operations import Operations
from daemon.peers.participant import Participant
from daemon.wire import Refused

AGAIN = 1.0
"""Seconds until the store, which is often the last that can be reached again, is asked once more."""

log = logging.getLogger("ployzd")


async def come_back(participant: Participant, operations: Operations) -> None:
    """To be called at the start, once questions of other machines are answered, and whenever somebody is `back`.

    First this machine learns which of the operations that it had a part in are over, so that nobody late is listened
    to; then its own are carried on, and so are those of the machines that waited for it. Raises Refused where the
    store does not answer: then it is to be called again.
    """
    await participant.ask_for_endings()
    operations.carry_on()
    await operations.means.others.tell_back()


async def follow(back: asyncio.Event, participant: Participant, operations: Operations) -> None:
    """Do that, for ever, each time that `back` is set: another machine is heard again that was silent, the store is in
    sight again, or this one's connection broke off. Whoever stood still for a while, or was parted from the others,
    knows it in no other way."""
    while True:
        await back.wait()
        back.clear()
        try:
            await come_back(participant, operations)
        except Refused as refused:
            log.warning("what waited for a machine that is back waits on: %s", refused.why)
            await asyncio.sleep(AGAIN)
            back.set()
