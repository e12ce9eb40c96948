"""What is known on this machine: contexts, local clusters, releases."""

import shlex
from typing import Any

from msgspec import Struct

from ctl.lines import read
from ctl.style import Style, harmless
from ctl.tables import pairs, table
from daemon.wire import DevCluster, DevMachine, DevParting


class Clusters(Struct):
    clusters: list[DevCluster]


class ContextRow(Struct):
    name: str
    socket: str
    current: bool


class Contexts(Struct):
    contexts: list[ContextRow]


class Environment(Struct):
    variables: dict[str, str]


def cluster(result: dict[str, Any], style: Style) -> str:
    return clusters({"clusters": [result]}, style)


def clusters(result: dict[str, Any], style: Style) -> str:
    known = read(result, Clusters).clusters
    if not known:
        return "There are no local clusters. Make one with: ployzctl dev up"
    rows = [_machine(one, machine, style) for one in known for machine in one.machines]
    shown = table(["cluster", "machine", "state", "address", "gateway", "socket"], rows, style)
    return "\n".join([shown, *(_parting(one, parting) for one in known for parting in one.partings)])


def _machine(one: DevCluster, machine: DevMachine, style: Style) -> list[str]:
    mark = {"up": style.green("● up"), "paused": style.yellow("○ paused")}
    state = mark.get(machine.state) or style.red(f"○ {machine.state}")
    return [harmless(one.name), machine.name, state, machine.address, machine.url, harmless(machine.socket)]


def _parting(one: DevCluster, parting: DevParting) -> str:
    """`Lost between m1, m2 and the others of dev: 20 %`"""
    ways = ("from", "to") if parting.one_way else ("between", "and")
    share = "all" if parting.loss == 100 else f"{parting.loss} %"
    return f"Lost {ways[0]} {', '.join(parting.machines)} {ways[1]} the others of {harmless(one.name)}: {share}"


def contexts(result: dict[str, Any], style: Style) -> str:
    rows = read(result, Contexts).contexts
    if not rows:
        return "There are no contexts. Add one with: ployzctl context add NAME --socket PATH"
    shown = [[style.green("▸") if row.current else "", harmless(row.name), harmless(row.socket)] for row in rows]
    return table(["", "name", "socket"], shown, style)


def environment(result: dict[str, Any], _: Style) -> str:
    """Lines for a shell to evaluate."""
    variables = read(result, Environment).variables
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def version(result: dict[str, Any], style: Style) -> str:
    return pairs([(harmless(name), _told(value)) for name, value in result.items()], style)


def _told(value: Any) -> str:
    """What a part says of itself: `0.1.0, zfs zfs-fuse, machine m1`."""
    if not isinstance(value, dict):
        return harmless(str(value))
    return harmless(", ".join(str(one) if name == "version" else f"{name} {one}" for name, one in value.items()))
