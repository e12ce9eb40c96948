"""A random life on a real pool: a fixed, small share of those that `python -m tests.machine.lived` lives."""

from tests.machine.cluster import Cluster
from tests.machine.lived import live


def test_what_is_there_is_what_a_plain_model_says_and_in_the_end_all_room_is_back(cluster: Cluster) -> None:
    live(cluster, seed=3, steps=7)
