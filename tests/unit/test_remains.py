"""What moves may leave on a machine, as tests of real machines see it: what nobody needs is told, one pool a line."""

import pytest

from tests.machines.remains import Pool, unneeded

FOLDER = "ployz-m1/ployz/lab/data"
OTHERS = ("m2", "m3")


def pool(line: str) -> Pool:
    """Of words like `old:kept old@a=base`: generations and snapshots, each with its state, oldest first."""
    names, state = list[str](), dict[str, str]()
    for word in line.split():
        name, _, said = word.replace("=", ":").partition(":")
        names.append(f"{FOLDER}/{name}")
        state[names[-1]] = said
    return Pool(names, {name: f"guid of {name.partition('@')[2]}" for name in names}, (), state, ())


@pytest.mark.parametrize(
    ("line", "m2", "m3", "left"),
    [
        ("now:current now@a=base", "a", "", ""),
        ("now:current now@a=base now@b=base", "a b", "", "now@a"),
        ("now:current now@a=base now@b=base", "b", "a", ""),
        ("now:current now@a=base", "", "", "now@a"),
        ("now:current now@point", "", "", ""),
        ("now:current now@passing", "passing", "", "now@passing"),
        ("old:kept old@a=base", "a", "", ""),
        ("old:kept old@a=base old@b=base old@c=base old@d=base", "a b c d", "", "old@a"),
        ("old:kept old@passing", "", "", "old@passing old"),
        ("old:kept", "", "", "old"),
        ("now:current now@a=base old:kept old@passing", "a", "", "old@passing old"),
        ("now:candidate", "", "", "now"),
    ],
)
def test_what_nobody_needs_is_told(line: str, m2: str, m3: str, left: str) -> None:
    others = [
        {f"{name}@{one}": f"guid of {one}" for one in has.split()} for name, has in zip(OTHERS, (m2, m3), strict=True)
    ]
    told = [*unneeded(pool(line), {f"{FOLDER}/now"}, {"data@point"}, others)]
    named = {next(word for word in said.split() if word.startswith(FOLDER)).rstrip(",") for said in told}
    assert named == {f"{FOLDER}/{name}" for name in left.split()}, told
