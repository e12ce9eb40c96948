"""Instances as processes of the host; `engine` has the verbs, `inside` is the program at the root of each of them."""
