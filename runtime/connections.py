"""TCP connections inside an instance's network namespace, as the kernel lists them (proc(5), net/tcp)."""

from collections.abc import Iterable
from pathlib import Path

UNDER_WAY = {
    "01": "ESTABLISHED",
    "03": "SYN_RECV",
    "04": "FIN_WAIT1",
    "08": "CLOSE_WAIT",
    "09": "LAST_ACK",
    "0B": "CLOSING",
}
"""States in which something may still be on its way to who connected: also where that one sends no more, and where the
instance has closed it but the last bytes are not acknowledged, which the kernel would drop with the namespace."""


def under_way(pid: int, ports: Iterable[int]) -> int:
    """How many connections to these local ports have not ended where process `pid` lives; 0 when it is gone."""
    wanted = set(ports)
    return sum(_count(Path(f"/proc/{pid}/net/{table}"), wanted) for table in ("tcp", "tcp6"))


def _count(table: Path, wanted: set[int]) -> int:
    try:
        rows = table.read_text().splitlines()[1:]
    except OSError:
        return 0  # the process is gone, and its connections with it
    cells = (row.split() for row in rows)
    return sum(1 for cell in cells if cell[3] in UNDER_WAY and int(cell[1].rpartition(":")[2], 16) in wanted)
