"""All that can be asked to be changed: each primitive under the type of the request that asks for it."""

from collections.abc import Mapping

from daemon.primitive import Primitive
from daemon.primitives import branch, deploy, promote, rollback

PRIMITIVES: Mapping[str, Primitive] = {
    "branch": branch,
    "deploy": deploy,
    "promote": promote,
    "rollback": rollback,
}
