"""The booking page, built and served for the stack that runs here: `python -m tools.web [PORT]`; Ctrl-C stops it."""

import os
import sys

from deploy.local.home import Home, StackInfo
from deploy.local.process import LocalError
from tools import node
from tools.gen import ROOT

PORT = 5173
PAGE = ROOT / "examples" / "booking-web"
VITE = node.MODULES / "vite" / "bin" / "vite.js"


def main() -> None:
    port = int(sys.argv[1]) if sys.argv[1:] else PORT
    try:
        stack = Home.default().running()
    except LocalError as error:
        sys.exit(str(error))
    node.setup()
    build(stack)
    os.chdir(PAGE)
    program = str(node.PROGRAMS / "node")  # Takes this process's place, so that what stops it stops the server.
    os.execve(program, [program, *server(port)], node.environment(settings(stack)))  # noqa: S606


def server(port: int) -> list[str]:
    """Arguments of Node, in PAGE, once the page is built."""
    return [str(VITE), "preview", "--port", str(port)]


def build(stack: StackInfo) -> None:
    node.node(str(VITE), "build", str(PAGE), "--logLevel", "warn", **settings(stack))


def settings(stack: StackInfo) -> dict[str, str]:
    """What examples/booking-web/src/settings.ts reads."""
    return {
        "VITE_API_URL": stack.edge_url,
        "VITE_ISSUER_URL": stack.issuer,
        "VITE_PROCESSOR_URL": stack.cards_url,
        "VITE_PROCESSOR_KEY": stack.cards_key,
    }


if __name__ == "__main__":
    main()
