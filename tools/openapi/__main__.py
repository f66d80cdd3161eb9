"""`python -m tools.openapi [folder]`: writes openapi.json, and docs/ that shows it, from the image.binpb in the folder,
which is gen/ if none is given."""

import json
import sys
from pathlib import Path

from tools.openapi import viewer
from tools.openapi.document import document

GEN = Path(__file__).parents[2] / "gen"


def main(arguments: list[str]) -> None:
    folder = Path(arguments[0]) if arguments else GEN
    found = document((folder / "image.binpb").read_bytes())
    (folder / "openapi.json").write_text(json.dumps(found, ensure_ascii=False, separators=(",", ":")))
    viewer.write(folder / "docs")


if __name__ == "__main__":
    main(sys.argv[1:])
