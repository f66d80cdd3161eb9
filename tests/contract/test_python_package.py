"""The wheel of the Python client: what it holds, and that it works by itself."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools.gen import ROOT

PACKAGE = ROOT / "clients" / "python"
PROGRAM = """
import atoll_client
from atoll_client import scheduling
print(atoll_client.__file__)
print(atoll_client.Atoll("https://api.example.com", "t").scheduling.courses.plan.__doc__ is not None)
print(scheduling.Site.DESCRIPTOR.full_name)
"""
TYPED = """
from atoll_client import Atoll
async def main() -> None:
    async with Atoll("https://api.example.com", "t") as atoll:
        async for site in atoll.scheduling.sites.list():
            reveal_type(site)
        await atoll.scheduling.sites.get()
"""


@pytest.mark.long
def test_the_wheel_carries_client_messages_and_types(tmp_path: Path) -> None:
    wheels, there, elsewhere = tmp_path / "wheels", tmp_path / "installed", tmp_path / "elsewhere"
    elsewhere.mkdir()
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run([*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(wheels), str(PACKAGE)], ROOT)
    [wheel] = wheels.glob("*.whl")
    run([*pip, "install", "--no-deps", "--no-index", "--target", str(there), str(wheel)], ROOT)
    printed = run([sys.executable, "-c", PROGRAM], elsewhere, PYTHONPATH=str(there)).splitlines()
    assert printed == [str(there / "atoll_client" / "__init__.py"), "True", "atoll.scheduling.v1.Site"]
    (elsewhere / "typed.py").write_text(TYPED)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "typed.py"]
    said = run(mypy, elsewhere, exit_code=1, MYPYPATH=str(there))
    assert 'Revealed type is "atoll.scheduling.v1.site_service_pb2.Site"' in said
    assert 'Missing named argument "site_id" for "get"' in said


def run(command: list[str], folder: Path, *, exit_code: int = 0, **environment: str) -> str:
    ended = subprocess.run(
        command, cwd=folder, env={"PATH": "/usr/bin:/bin", **environment}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == exit_code, ended.stdout + ended.stderr
    return ended.stdout
