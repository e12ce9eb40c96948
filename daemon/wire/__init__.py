"""The contract: all that crosses between ctl and a daemon, and into a journal. It imports nothing of the house.

A call is one request with the way it is to be carried out. Its answer is a stream of JSON lines: events, then
exactly one Success or Failure. Sizes are bytes, times RFC 3339 UTC, durations seconds.
"""

from daemon.wire.answers import *
from daemon.wire.data import *
from daemon.wire.images import *
from daemon.wire.local import *
from daemon.wire.machines import *
from daemon.wire.migrating import *
from daemon.wire.problems import *
from daemon.wire.requests import *
from daemon.wire.results import *
from daemon.wire.status import *
from daemon.wire.volumes import *
