"""`python -m data_gen [COMMAND] key=value ...`: dispatch to a command, by default generate."""

from __future__ import annotations

import importlib
import sys

COMMANDS = {
    "generate": ("data_gen.generate", "main"),
    "import": ("data_gen.convert", "import_main"),
    "export": ("data_gen.convert", "export_main"),
    "preview": ("data_gen.preview", "main"),
}


def main(arguments: list[str]) -> int:
    """Run a command; return the exit code."""
    command = "generate"
    if arguments and not set("=-") & set(arguments[0]):
        command, *arguments = arguments
    if command not in COMMANDS:
        print(f"data_gen: no command {command}; known: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    module, function = COMMANDS[command]
    return getattr(importlib.import_module(module), function)(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
