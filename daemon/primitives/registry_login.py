"""registry login: the cluster becomes somebody at a registry of images, which has said that it takes them."""

import re
from typing import Literal

from daemon.changing import registry
from daemon.changing.registry import Plan
from daemon.node import Node
from daemon.planning.secrets import recipients
from daemon.primitive import By, Part, Told, require
from daemon.records import Registry
from daemon.wire import Registry as Result
from daemon.wire import RegistryLogin

KIND = "registry"
HOST = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?"
LARGEST = 64 * 1024
"""Bytes of a password: some registries' tokens are long."""
__all__ = ["KIND", "Plan", "claims", "plan", "steps", "verify"]


def claims(ask: RegistryLogin) -> dict[str, Literal["change", "read"]]:
    cannot = f"cannot log in to {ask.host}"
    why = "a registry is a host, in small letters, and where it needs one a port"
    require(re.fullmatch(HOST, ask.host), "registry.name", cannot, why, "registry.example.com, or docker.io")
    readable = _is_text(ask.password) and 0 < len(ask.password) <= LARGEST
    why = "user and password have to be there, and the password to be one line of text, of at most 64 KiB"
    require(ask.user and readable, "registry.credentials", cannot, why, "a password on stdin, and --user NAME")
    return {}


async def plan(ask: RegistryLogin, node: Node, by: By) -> Plan:
    await node.instances.accepted(ask.host, ask.user, ask.password)
    _, revision = await node.records.registry(ask.host)
    keys = recipients(await node.members.machines())
    sealed = node.vault.seal(ask.password, keys)
    return Plan(by.operation, ask.host, Registry(ask.user, sealed, keys, by.operation, by.at, by.who), revision)


def _is_text(password: bytes) -> bool:
    try:
        return password.decode().isprintable()
    except UnicodeDecodeError:
        return False


def steps(plan: Plan, node: Node) -> list[Part]:
    return registry.steps(plan, node)


async def verify(plan: Plan, node: Node, told: Told) -> Result:
    return await registry.verify(plan, node)
