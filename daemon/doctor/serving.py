"""The serving plane: each part holds what is committed."""

from collections.abc import Awaitable, Callable

from daemon.doctor.assumption import Finding, failure, ok

HOLDS = {
    "firewall": "the kernel leads service addresses where the committed heads say",
    "gateway": "it has the committed routes, and no others",
    "names": "it answers every committed name",
}
HINT = "start ployzd again, or deploy: it is applied anew, whole"
LOG = {"gateway": "serving/gateway/caddy.log", "names": "serving/names/dnsmasq.log"}


async def holds(part: str, differs: Callable[[str], Awaitable[str]]) -> Finding:
    return judge(part, await differs(part))


def judge(part: str, differs: str) -> Finding:
    """`differs` is empty if it holds what is committed."""
    if not differs:
        return ok(HOLDS[part])
    log = f"; if that does not help, look at {LOG[part]} in the data directory" if part in LOG else ""
    return failure(differs, f"{HINT}{log}")
