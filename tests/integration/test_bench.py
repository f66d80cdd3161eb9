"""Benchmarks whose limits are recorded from our own calls still run. Nothing is said of their figures but that there
are some."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WITHIN_S = 600


@pytest.mark.long
@pytest.mark.timeout(2 * WITHIN_S)
@pytest.mark.parametrize("name", ["patients", "invoices"])
def test_a_benchmark_runs_and_writes_what_it_measured(name: str, tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    settings = {"ATOLL_BENCH_SECONDS": "0.5", "ATOLL_BENCH_PATIENTS": "1000", "ATOLL_BENCH_RESULTS": str(results)}
    command = [sys.executable, "-m", "bench", name]
    ran = subprocess.run(
        command, env=os.environ | settings, capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    assert ran.returncode == 0, ran.stderr[-3000:]

    operations = json.loads(results.read_text())["operations"]
    assert operations
    for each in operations:
        assert each["per_second"] > 0, each
        assert each["limit_per_second"] > 0, each
        assert each["p99_ms"] >= each["p95_ms"] >= each["p50_ms"] > 0, each
