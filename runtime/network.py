"""The bridge network that a machine's instances join: fixed addresses, the machine's own first."""

from dataclasses import dataclass
from typing import Any

from docker.types import IPAMConfig, IPAMPool

from runtime.engine import Absent, Engine
from runtime.instance import EngineProblem


@dataclass(frozen=True)
class Bridge:
    """A network of the engine and its bridge on the host. `masquerade` lets instances reach beyond the cluster."""

    subnet: str
    gateway: str
    mtu: int
    name: str = "ploy"
    interface: str = "ploy0"
    masquerade: bool = True

    @property
    def options(self) -> dict[str, str]:
        return {
            "com.docker.network.bridge.name": self.interface,
            "com.docker.network.bridge.enable_ip_masquerade": str(self.masquerade).lower(),
            "com.docker.network.driver.mtu": str(self.mtu),
        }


async def ensure_network(engine: Engine, bridge: Bridge) -> None:
    """Have the network as wanted. One of that name that is otherwise, and on our bridge, is replaced while nobody is
    in it: the machine has another subnet now. Any other is not touched: EngineProblem says how."""
    before = await _found(engine, bridge)
    if before and _differences(before, bridge) and _is_ours(before, bridge) and not before.get("Containers"):
        cannot = f"cannot replace the network {bridge.name}"
        await engine.ask(cannot, lambda client: client.remove_network(bridge.name))
    if await _found(engine, bridge) is None:
        pool = IPAMPool(subnet=bridge.subnet, gateway=bridge.gateway)
        await engine.ask(
            f"cannot create the network {bridge.name}",
            lambda client: client.create_network(
                bridge.name, "bridge", bridge.options, IPAMConfig(pool_configs=[pool]), check_duplicate=True
            ),
        )
    found = await _found(engine, bridge)
    if found is None:
        raise EngineProblem(f"cannot create the network {bridge.name}: the engine said it was done, and it is not")
    if differences := _differences(found, bridge):
        raise EngineProblem(
            f"the engine has a network {bridge.name} that is not as needed ({differences});"
            f" remove it while nothing uses it (docker network rm {bridge.name})"
        )


async def used(engine: Engine, network: str) -> dict[str, str]:
    """The addresses of a network that running containers have, whoever made them, with their names."""
    cannot = f"cannot look at the network {network}"
    found = await engine.ask(cannot, lambda client: client.inspect_network(network))
    try:
        held = (found.get("Containers") or {}).values()
        return {each["IPv4Address"].partition("/")[0]: each["Name"] for each in held if each["IPv4Address"]}
    except (KeyError, AttributeError) as error:
        raise EngineProblem(f"{cannot}: the engine's answer cannot be understood") from error


async def _found(engine: Engine, bridge: Bridge) -> dict[str, Any] | None:
    cannot = f"cannot look at the network {bridge.name}"
    try:
        found = await engine.ask(cannot, lambda client: client.inspect_network(bridge.name))
    except Absent:
        return None
    if not isinstance(found, dict):
        raise EngineProblem(f"{cannot}: the engine's answer cannot be understood")
    return found if found.get("Name") == bridge.name else None


def _is_ours(found: dict[str, Any], bridge: Bridge) -> bool:
    return (found.get("Options") or {}).get("com.docker.network.bridge.name") == bridge.interface


def _differences(found: dict[str, Any], bridge: Bridge) -> str:
    pools = (found.get("IPAM") or {}).get("Config") or [{}]
    is_so = {"subnet": pools[0].get("Subnet"), "gateway": pools[0].get("Gateway"), **(found.get("Options") or {})}
    wanted = {"subnet": bridge.subnet, "gateway": bridge.gateway, **bridge.options}
    return ", ".join(f"{key} is {is_so.get(key)}, not {want}" for key, want in wanted.items() if is_so.get(key) != want)
