"""A process that reckons: `python -m services.scheduling.planner`, started by `services.scheduling.rpc.planners` alone.

Reads calls from stdin and writes what came of them to stdout, each as its length and a pickle. It ends when stdin does:
when whoever started it closes the pipe, or is gone however that happened. It opens nothing and stores nothing.
"""

import os
import pickle
import signal
import struct
import sys
from typing import BinaryIO

from chassis.errors import DomainError

LENGTH = struct.Struct(">I")
NICENESS = 10
"""Calls that book go before plans."""


def main(requests: BinaryIO, answers: BinaryIO) -> None:
    while head := requests.read(LENGTH.size):
        work = pickle.loads(requests.read(LENGTH.unpack(head)[0]))  # noqa: S301  # Of the process that started this one.
        try:
            answer = True, work()
        except DomainError as error:
            answer = False, error
        body = pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
        answers.write(LENGTH.pack(len(body)) + body)
        answers.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which lets calls in hand finish.
    os.nice(NICENESS)
    main(sys.stdin.buffer, sys.stdout.buffer)
