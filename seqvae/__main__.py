"""python -m seqvae COMMAND key=value ..."""

from __future__ import annotations

import sys

from seqvae.cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
