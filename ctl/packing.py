"""A folder of the caller's as a tar, written straight into a connection by the program `tar`."""

import os
import socket
import subprocess

from ctl.carrying import Moved, conclude

WORDS = ("tar", "--create", "--blocking-factor=512", "--xattrs", "--acls", "--numeric-owner", "--format=posix")


def pack(folder: str, connection: socket.socket, _: Moved) -> None:
    """Send the folder with owners, modes, links, attributes. Raises OSError unless tar took all of it."""
    words, stdout = [*WORDS, "--directory", folder, "."], connection.fileno()
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise OSError(f"tar could not read all of {os.path.abspath(folder)}: {said}")
    conclude(connection)
