"""A process that reckons: `python -m services.scheduling.planner`, started by `services.scheduling.rpc.planners` alone.

Reads calls from stdin and writes what came of them to stdout, each as its length and a pickle. It ends when stdin does:
when whoever started it closes the pipe, or is gone however that happened. It opens nothing and stores nothing.
"""

import os
import pickle
import signal
import struct
import sys
from traceback import extract_tb
from typing import BinaryIO

from chassis.errors import DomainError

LENGTH = struct.Struct(">I")
NICENESS = 10
"""Calls that book go before plans."""


def bug(error: Exception) -> tuple[str, list[str]]:
    """Of which class it is and where it happened, not what it says: that may be anything."""
    at = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in extract_tb(error.__traceback__)]
    return type(error).__name__, at


def main(requests: BinaryIO, answers: BinaryIO) -> None:
    while head := requests.read(LENGTH.size):
        work = pickle.loads(requests.read(LENGTH.unpack(head)[0]))  # noqa: S301  # Of the process that started this one.
        answer: tuple[bool, object]
        try:
            answer = True, work()
        except DomainError as error:
            answer = False, error
        except Exception as error:
            answer = False, bug(error)
        body = pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
        answers.write(LENGTH.pack(len(body)) + body)
        answers.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which lets calls in hand finish.
    os.nice(NICENESS)
    main(sys.stdin.buffer, sys.stdout.buffer)
