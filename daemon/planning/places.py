"""Where instances run: where their volumes are, where `place` says, else where the fewest run and most is free; and of
what moves, where most of its data is."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from daemon.manifest import GLOBAL, Manifest, Service
from daemon.planning.names import free
from daemon.planning.wanted import Seen
from daemon.records import Running
from daemon.wire import Refused


class Against(NamedTuple):
    """What speaks against machines: those that are `barred` get nothing new, for the reason that is given; and of all
    that fit, one that `lacks` fewer bytes of what comes along is better, whatever else it runs."""

    barred: Mapping[str, str] = {}
    lacks: Mapping[str, int] = {}


NOTHING = Against()


class Places:
    """Chooses machines, and addresses on them, for one plan, and remembers what it has chosen.

    `pins` says where each volume is. `seed` is the operation's id: see `free`.
    """

    def __init__(
        self, manifest: Manifest, seen: Seen, pins: Mapping[str, str], seed: str, against: Against = NOTHING
    ) -> None:
        self.seen, self._against = seen, against
        self._manifest, self._pins, self._seed = manifest, dict(pins), seed
        self._load: Counter[str] = Counter()
        self._free: dict[str, Iterator[str]] = {}

    def stay(self, name: str, up: Sequence[Running]) -> tuple[Running, ...]:
        """Those of a service's instances that can stay where they are: as many as are wanted, where it may run."""
        service = self._manifest.services[name]
        may = [one for one in up if one.machine in self.seen.machines and not self._why_not(service, one.machine)]
        if isinstance(service.replicas, int):
            kept = tuple(may[: service.replicas])
        else:
            first = {one.machine: one for one in reversed(may)}
            kept = tuple(one for one in may if first[one.machine] is one)
        self._load.update(one.machine for one in kept)
        return kept

    def more(self, name: str, kept: Sequence[Running]) -> Iterator[str]:
        """The machine of each instance that is wanted besides those that are kept.

        Raises Refused `machine.missing`, `machine.unreachable`, and `place.none` with the reason of each machine.
        """
        service, here = self._manifest.services[name], Counter(one.machine for one in kept)
        if service.replicas == GLOBAL:
            yield from (machine for machine in self._fit(name, service) if machine not in here)
            return
        for _ in range(len(kept), service.replicas):
            fit = self._fit(name, service)
            chosen = min(fit, key=lambda machine: (here[machine], *self._burden(machine)))
            here[chosen] += 1
            self._load[chosen] += 1
            self._pins |= dict.fromkeys(service.volumes, chosen)
            yield chosen

    def of_volume(self, volume: str) -> str:
        """Where a volume is, or is to be made: one that no service has, where it was asked if that takes it."""
        return self._pins.get(volume) or self._home()

    def address(self, machine: str) -> str:
        """A free address for an instance there, given once."""
        if machine not in self._free:
            subnet = self.seen.machines[machine].record.subnet
            self._free[machine] = free(subnet, self.seen.taken["address"], self._seed)
        return next(self._free[machine])

    def _fit(self, name: str, service: Service) -> list[str]:
        cannot, machines = f"cannot place {self._manifest.namespace}/{name}", self.seen.machines
        place = service.place.machine if service.place else None
        if place and place not in machines:
            why = f"there is no machine of that name; there is {', '.join(sorted(machines))}"
            hint = f'place = {{ machine = "{self.seen.here}" }}, or leave place out'
            raise Refused("machine.missing", f"{cannot} on {place}", why, hint)
        reasons = {machine: self._why_not(service, machine, new=True) for machine in sorted(machines)}
        fit = [machine for machine, why in reasons.items() if not why]
        if answering := [machine for machine in fit if not machines[machine].away]:
            return answering
        if fit:
            away = "; ".join(f"{machine} does not answer: {machines[machine].away}" for machine in fit)
            raise Refused("machine.unreachable", cannot, away, "ployzctl machine ls")
        why = "; ".join(f"{machine}: {why}" for machine, why in reasons.items())
        raise Refused("place.none", cannot, f"no machine fits: {why}", "another place, or ployzctl machine ls")

    def _why_not(self, service: Service, machine: str, *, new: bool = False) -> str:
        """Why a service may not run there; empty if it may. A draining machine gets nothing new but what is there."""
        record = self.seen.machines[machine].record
        for volume in service.volumes:
            if (pin := self._pins.get(volume, machine)) != machine:
                return f"its volume {volume} is on {pin}"
        if service.place and service.place.machine not in (None, machine):
            return f"place names {service.place.machine}"
        for label, value in (service.place.labels if service.place else {}).items():
            if (there := record.labels.get(label)) != value:
                return f"its label {label} is {there or 'not set'}, not {value}"
        if new and machine in self._against.barred:
            return self._against.barred[machine]
        pinned = not self._pins.keys().isdisjoint(service.volumes)
        if record.state in ("lost", "leaving"):
            return "it leaves the mesh"
        return "it is draining" if new and record.state == "draining" and not pinned else ""

    def _home(self) -> str:
        machines = self.seen.machines
        takes = {name for name, one in machines.items() if one.record.state == "active" and not one.away}
        return min(machines, key=lambda name: (name not in takes, name != self.seen.here, name))

    def _burden(self, machine: str) -> tuple[int, int, int, str]:
        lacks = self._against.lacks.get(machine, 0)
        return lacks, self._load[machine], -self.seen.machines[machine].memory, machine
