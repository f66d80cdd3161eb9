"""Holds the public API to what was released: inside v1 there are additions only.

`protos/released.binpb` is the API as it was last released, as descriptors; it is committed, so that a fresh clone can
compare without network or history. `buf breaking` compares the protos of today with it. A release writes it anew,
which is refused where it would break what was released before:

    python -m tools.breaking release

While it does not exist nothing is released, and nothing can be broken.
"""

import subprocess
import sys
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

ROOT = Path(__file__).parents[1]
IMAGE = ROOT / "gen" / "image.binpb"
RELEASED = ROOT / "protos" / "released.binpb"
BUF = Path(sys.executable).with_name("buf")
BROKEN = 100
"""What buf exits with when it found something; anything else but 0 is trouble of its own."""


def main(*arguments: str) -> None:
    if arguments not in ((), ("release",)):
        sys.exit("usage: python -m tools.breaking [release]")
    if RELEASED.exists() and (found := breaks(IMAGE, RELEASED)):
        print("\n".join(found))
        sys.exit("the API that was released is broken: make the change beside it, or as v2")
    if arguments:
        RELEASED.write_bytes(without_comments(IMAGE.read_bytes()))
    if not RELEASED.exists():
        print("nothing is released yet, so nothing can be broken")


def breaks(image: Path, released: Path) -> list[str]:
    """One line for each change in `image` that a client of `released` would notice."""
    command: list[str | Path] = [BUF, "breaking", image, "--against", released, "--config", ROOT / "buf.yaml"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, BROKEN):
        raise RuntimeError(done.stderr)
    return done.stdout.splitlines()


def without_comments(image: bytes) -> bytes:
    """Comments are half of an image, and break nothing."""
    files = FileDescriptorSet.FromString(image)
    for file in files.file:
        file.ClearField("source_code_info")
    return files.SerializeToString(deterministic=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
