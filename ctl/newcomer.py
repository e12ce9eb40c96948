"""A host that is to become a machine, as it is found over ssh: what is there of ployz. To look changes nothing."""

from dataclasses import dataclass

from ctl import shipping
from ctl.lines import decode
from ctl.shipping import PREFIX
from ctl.ssh import MISSING, Ended, Host
from daemon.wire import Failure, PreviewStep, Problem, Refused, Success


@dataclass(frozen=True)
class Newcomer:
    """A host as it was found: whether ployz is `installed`, and whether its daemon `answers`."""

    host: Host
    installed: bool
    answers: bool

    @property
    def target(self) -> str:
        return self.host.target

    def steps(self, name: str | None) -> list[PreviewStep]:
        said = [] if self.installed else [f"install ployz in {PREFIX}, as it is here"]
        said += [] if self.answers else ["start ployzd"]
        said += [f"invite {name or 'it'}, and have it join"]
        return [PreviewStep(each, self.target) for each in said]


def look(host: Host) -> Newcomer:
    """Raises Refused as `Host.become_root` does, `machine.platform`, `machine.strange`."""
    host.become_root()
    told = host.run("ployzctl", "--json", "version")
    if told.code == MISSING:
        _require_kind(host)
        return Newcomer(host, installed=False, answers=False)
    match answer_of(told):
        case Success():
            return Newcomer(host, installed=True, answers=True)
        case Failure(error=error) if error.code == "daemon.unreachable":
            return Newcomer(host, installed=True, answers=False)
        case Failure(error=error):
            raise strange(host, f"ployzctl says there: {error.what}: {error.why}")
        case None:
            raise strange(host, f"ployzctl ended there with {told.code}: {told.err.strip()}")


def _require_kind(host: Host) -> None:
    there, wanted = host.run("python3", "-c", shipping.KIND), shipping.kind()
    found = there.out.decode(errors="replace").strip() if there.code == 0 else "no python3 that runs"
    if found != wanted:
        cannot, why = f"cannot install ployz on {host.target}", f"what is here is for {wanted}, and there is {found}"
        raise Refused("machine.platform", cannot, why, "install ployz there by hand, then the same again")


def answer_of(ended: Ended) -> Success | Failure | None:
    """The document that a ployzctl printed; None if that is none."""
    try:
        line = decode(ended.out)
    except Problem:
        return None
    return line if isinstance(line, Success | Failure) else None


def strange(host: Host, why: str) -> Refused:
    return Refused("machine.strange", f"cannot add {host.target}", why, "ployzctl version, over there")
