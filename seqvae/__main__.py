"""python -m seqvae COMMAND key=value ..."""

from __future__ import annotations

import sys

from seqvae.cli.main import main


def console() -> None:
    """Run the console script `seqvae`."""
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    console()
