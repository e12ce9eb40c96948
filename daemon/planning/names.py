"""Names that are unique in the cluster: which are free, which a change takes, and which it lets go."""

import ipaddress
import random
from collections.abc import Container, Iterable, Iterator, Mapping

from daemon.change import Name
from daemon.manifest import Manifest
from daemon.primitive import require
from daemon.records import Head
from daemon.wire import Refused


def free(network: str, taken: Container[str], seed: str) -> Iterator[str]:
    """Addresses of the network that are not taken, the first two and the last left out, in an order of `seed`'s own.

    So plans that two machines make at the same time hardly choose the same; should they, the reservation refuses.
    """
    hosts = ipaddress.ip_network(network)
    for number in _shuffled(range(2, hosts.num_addresses - 1), seed):
        if (address := str(hosts[number])) not in taken:
            yield address
    why = f"all of {network} are taken"
    raise Refused("address.exhausted", "cannot find a free address", why, "remove services first")


def _shuffled(numbers: range, seed: str) -> Iterator[int]:
    """Each of them once; of the thousands in a network, only as many are drawn as somebody asks for."""
    chance, moved = random.Random(seed), dict[int, int]()
    for left in range(len(numbers), 0, -1):
        drawn = chance.randrange(left)
        yield numbers[moved.get(drawn, drawn)]
        moved[drawn] = moved.get(left - 1, left - 1)


def host(route: str) -> str:
    """The hostname of a route `host` or `host/path`."""
    return route.partition("/")[0]


def require_own_hostnames(namespace: str, routes: Iterable[str], taken: Mapping[str, str]) -> None:
    """No route may stand on a hostname that another namespace holds."""
    for route in routes:
        holder = taken.get(host(route), namespace)
        require(
            holder == namespace,
            "name.taken",
            f"cannot route {host(route)} to {namespace}",
            f"the namespace {holder} has that hostname",
            "choose another hostname, or remove it there first",
        )


def require_own_ports(manifest: Manifest, taken: Mapping[str, str], listening: Container[int]) -> None:
    """No port of the host may be published that another namespace holds, or a process of the host listens on."""
    for name, service in manifest.services.items():
        for number in service.publish:
            holder = taken.get(number)
            stranger = holder is None and int(number) in listening
            require(
                holder in (None, manifest.namespace) and not stranger,
                "name.taken",
                f"cannot publish {manifest.namespace}/{name} at port {number} of the host",
                "a process of the host listens there" if stranger else f"the namespace {holder} has that port",
                f"another port; `ss -lnptu sport = :{number}` on the host tells who it is"
                if stranger
                else "another port, or remove it there first",
            )


def held(head: Head | None) -> set[Name]:
    """Every name that a head stands on."""
    services = head.services.values() if head else ()
    names = {Name("address", instance.ip) for service in services for instance in service.instances}
    names |= {Name("service", service.address) for service in services if service.address}
    names |= {Name("port", number) for service in services for number in service.specification.publish}
    return names | {Name("hostname", host(route)) for service in services for route in service.routes}


def reserved(before: Head | None, after: Head, one_shots: Iterable[str]) -> tuple[Name, ...]:
    """What a change takes: what is new in its head, and addresses for its one-shot instances."""
    return _sorted((held(after) - held(before)) | {Name("address", ip) for ip in one_shots})


def released(before: Head | None, after: Head, one_shots: Iterable[str]) -> tuple[Name, ...]:
    """What a change lets go once it is committed."""
    return _sorted((held(before) - held(after)) | {Name("address", ip) for ip in one_shots})


def _sorted(names: set[Name]) -> tuple[Name, ...]:
    return tuple(sorted(names, key=lambda name: (name.kind, name.what)))
