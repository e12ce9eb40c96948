"""Who may claim a record beside whom. Claims have no clock: they end with their operation."""

from daemon.records import Access, Claim


def conflicting(claims: tuple[Claim, ...], wanted: Claim) -> Claim | None:
    """The first claim of another operation that cannot stand beside the wanted one."""
    return excluding(without(claims, wanted.operation), wanted.kind)


def excluding(claims: tuple[Claim, ...], kind: Access) -> Claim | None:
    """The first that none of this kind can stand beside: only readers share."""
    return next((other for other in claims if "change" in (other.kind, kind)), None)


def with_claim(claims: tuple[Claim, ...], claim: Claim) -> tuple[Claim, ...]:
    """The claims with this one, in place of an earlier one of the same operation."""
    return (*without(claims, claim.operation), claim)


def without(claims: tuple[Claim, ...], operation: str) -> tuple[Claim, ...]:
    """The claims that are left when the operation's is gone."""
    return tuple(claim for claim in claims if claim.operation != operation)
