"""The other machines as they are seen from here: looked at by verbs that change nothing, talked with, and observed."""

from dataclasses import dataclass, replace

from daemon.mirror import Mirror
from daemon.observing import Observing, Plane, observe
from daemon.peers.daemons import DaemonThere
from daemon.peers.instances import EngineThere, Talks
from daemon.peers.line import GLANCE, BusLine
from daemon.peers.remote import RemotePeers
from daemon.peers.talking import Data, Engine, Talking
from daemon.sites import Site
from dataplane.calls import Calls


@dataclass(frozen=True)
class Own:
    """This machine, as others talk with it, and as it leads to them."""

    machine: str
    engine: Engine
    data: Data
    plane: Plane


@dataclass(frozen=True)
class Surroundings:
    """`line` is the way to them of whoever only looks; `talking` answers what they talk of with this machine."""

    machine: str
    line: BusLine
    peers: RemotePeers
    talks: Talks
    talking: Talking
    observing: Observing

    @classmethod
    async def of(cls, mirror: Mirror, calls: Calls, peers: RemotePeers, talks: Talks, own: Own) -> "Surroundings":
        """Those of `peers`, as this machine has them."""
        machine = own.machine
        observing = await observe(machine, calls.bus, mirror, own.plane, talks.cut)
        line = BusLine(calls, GLANCE, observing.silence)
        talking = Talking(own.engine, own.data, peers.members)
        return cls(machine, line, replace(peers, line=line), talks, talking, observing)

    def sites(self) -> dict[str, Site]:
        """All but this machine, as the records have them."""
        return {name: self._site(name) for name in self.peers.members() if name != self.machine}

    def _site(self, machine: str) -> Site:
        there, daemon = self.peers(machine), DaemonThere(machine, self.line)
        return Site(machine, EngineThere(machine, there.instances, self.talks), there.datasets, daemon)
