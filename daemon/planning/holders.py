"""Which machines keep the records: a pure function of who there is, who answers, and who keeps them now."""

from collections.abc import Collection, Mapping

from daemon.records import Machine

MOST = 3
"""Three go on without any one of them; with fewer machines than that, one keeps the records alone."""


def holders(
    now: Collection[str], machines: Mapping[str, Machine], answering: Collection[str], without: Collection[str]
) -> tuple[str, ...]:
    """The machines that are to keep the records once those `without` are gone; none if nobody could.

    Who keeps them now goes on; those that were members first come next. As long as as many keep them as there should
    be, and none of them goes, they stay where they are, whoever answers.
    """
    stay = {name for name, machine in machines.items() if machine.state in ("active", "draining")} - set(without)
    many = MOST if len(stay) >= MOST else 1
    if len(now) == many and stay.issuperset(now):
        return tuple(sorted(now))
    there = sorted(stay & set(answering), key=lambda name: (name not in now, machines[name].created_at, name))
    if many > 1 and len(there) < MOST:
        if len(now) == 1 and stay.issuperset(now):
            return tuple(now)
        many = 1
    return tuple(sorted(there[:many]))
