"""`python -m tools.docs` writes the pages, `--check` (in `make lint`) says whether they are current."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tools.docs import access, errors, events

ROOT = Path(__file__).parents[2]
PAGES: Mapping[str, Callable[[FileDescriptorSet], str]] = {
    "access.md": access.page,
    "errors.md": errors.page,
    "events.md": events.page,
}


def main(arguments: list[str]) -> None:
    image = FileDescriptorSet.FromString((ROOT / "gen" / "image.binpb").read_bytes())
    for name, page in PAGES.items():
        path, text = ROOT / "docs" / name, page(image)
        if "--check" not in arguments:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            sys.exit(f"docs/{name} is not what the protos say: run `make docs`")


if __name__ == "__main__":
    main(sys.argv[1:])
