"""Adds what is generated from the protos: messages, their stubs, and a method for each RPC.

A checkout has it in gen/, or it is written there now; nothing generated is kept in git. Only wheels are built, and only
in a checkout: a source distribution would have no protos.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ("atoll", "buf")
NOT_THESE = shutil.ignore_patterns("__pycache__")


class BuildWithProtos(build_py):
    def run(self) -> None:
        shutil.rmtree(self.build_lib, ignore_errors=True)  # What an earlier build had and this one has not.
        super().run()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(ROOT)])}
        subprocess.run([sys.executable, "-m", "tools.gen"], cwd=ROOT, env=environment, check=True)
        for package in GENERATED:
            shutil.copytree(
                ROOT / "gen" / package, Path(self.build_lib) / package, ignore=NOT_THESE, dirs_exist_ok=True
            )


setup(cmdclass={"build_py": BuildWithProtos})
