"""The guards of the load generator."""

from tests.mutants.mutant import Mutant

LOAD = "tests/unit/test_bench_load.py"

BENCH = [
    Mutant("bench/load.py", 'min(self._window, stream.window, self._frame_max)', 'self._frame_max', LOAD),
    Mutant("bench/load.py", 'min(self._share, self._streams_max)', 'self._share', LOAD),
    Mutant("bench/load.py", '        if outcome == "OK":', '        if True:', LOAD),
    Mutant("bench/load.py", '            self._out += _frame(PING, ACK, 0, payload)', '            self._out += b""', LOAD),
]  # fmt: skip
