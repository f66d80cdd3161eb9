"""A service with a sampler in it: `python -m bench.profiled SERVICE FILE` serves, and writes FILE when it stops.

Each millisecond of CPU the stack of the main thread is looked at; the innermost frame that belongs to a layer names the
layer. C code counts for the Python frame that called it.
"""

import atexit
import importlib
import json
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

from chassis.service import work

EVERY_S = 0.001
REST = "event loop and gRPC core"
LAYERS = (
    ("asyncpg/", "asyncpg"),
    ("grpc", "gRPC"),
    ("structlog/", "logs"),
    ("prometheus_client/", "metrics"),
    ("protovalidate/", "field rules"),
    ("joserfc/", "tokens"),
    ("nats/", "relay"),
    ("chassis/relay", "relay"),
    ("chassis/service", REST),  # Under everything: nothing above it is Python.
    ("chassis/", "chassis"),
    ("services/", "service"),
    ("typeid", "ids"),
    ("uuid_utils/", "ids"),
    ("google/protobuf", "protobuf"),
)


def main(service: str, file: Path) -> None:
    samples = Counter[str]()

    def sample(_: int, frame: FrameType | None) -> None:
        samples[layer_of(frame)] += 1

    serving = importlib.import_module(f"services.{service}.__main__").SERVICE  # Imports are no part of a call.
    signal.signal(signal.SIGPROF, sample)
    signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)
    atexit.register(lambda: file.write_text(json.dumps(samples)))
    work(serving)


def layer_of(frame: FrameType | None) -> str:
    while frame:
        path = frame.f_code.co_filename
        for part, layer in LAYERS:
            if part in path:
                return layer
        frame = frame.f_back
    return REST


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
