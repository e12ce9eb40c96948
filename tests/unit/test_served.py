"""What is served, as it is kept: a view goes with all that was begun of it."""

from pathlib import Path

from daemon.node import View
from daemon.served import Served


def test_a_view_that_is_forgotten_leaves_nothing_also_not_what_a_killed_daemon_had_begun(tmp_path: Path) -> None:
    kept = Served(tmp_path)
    kept.keep(View("op-1", "shop"))
    [view] = tmp_path.iterdir()
    view.with_suffix(".new").write_bytes(b"cut sho")
    assert len(kept.views()) == 1
    kept.forget("op-1")
    assert list(tmp_path.iterdir()) == []
