"""The end of a command by Ctrl-C or SIGTERM: at any moment, in one line, without unfinished files.

No exception is raised: it would be lost in a destructor or callback, be taken for a fault by the library that
it passes, or meet the handling of an earlier one. The handler itself removes the files that are not complete,
prints the line and ends the process.

It is in place before anything else is imported, so this module imports next to nothing.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from contextlib import contextmanager, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing takes longer to import than all of this
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)

unfinished: set[str] = set()  # paths of the files that are being written
_title = ""  # beginning of the messages of the command


def _interrupted() -> str:
    return "interrupted; finished files stay"


_words: Callable[[], str] = _interrupted


def run_process(program: str, main: Callable[[Sequence[str]], int]) -> None:
    """Run `main` with the words of the command line as all that this process does; exit with its code.

    From here on until the very end a signal ends the process with code 128 + signal.
    """
    set_title(program)
    for number in SIGNALS:
        signal.signal(number, _leave_at_signal)
    # the process of multiprocessing that removes what a killed command leaves need not tell of it
    sys.warnoptions.append("ignore:resource_tracker")
    code = 1  # of an exception

    def end() -> None:
        """End without taking the interpreter apart, during which no signal is handled."""
        os._exit(code if _flush() else code or 1)

    atexit.register(end)  # the first one that is registered is called last
    code = main(sys.argv[1:])
    sys.exit(code)


def set_title(title: str) -> None:
    """Set the beginning of the line."""
    global _title
    _title = title


_speaks: bool | None = None  # None: as the first of processes that work together does


@contextmanager
def last_words(words: Callable[[], str]) -> Iterator[None]:
    """Print the result of `words` if a signal ends the process inside the context."""
    global _words
    before, _words = _words, words
    try:
        yield
    finally:
        _words = before


def leave(number: int) -> None:
    """End the process because of signal `number`: remove unfinished files, print the last words."""
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    for path in list(unfinished):
        with suppress(OSError):  # not made yet, or renamed already
            os.unlink(path)
    _flush()
    if speaks():
        tell_at_signal(f"{_title}: {_words()}")
    os._exit(128 + number)


def speaks() -> bool:
    """Return whether this process tells people what happens: of processes that work together, the first."""
    return os.environ.get("RANK", "0") == "0" if _speaks is None else _speaks


def let_speak(yes: bool) -> None:
    """Say whether this process tells people what happens, in place of the first one."""
    global _speaks
    _speaks = yes


def tell_at_signal(line: str) -> None:
    """Print a line on stderr from a signal handler, which may have interrupted another print."""
    start = "\n" if os.isatty(2) else ""  # below a bar of progress, or the terminal's ^C
    with suppress(OSError):  # nobody reads it any more
        os.write(2, f"{start}{line}\n".encode(errors="backslashreplace"))


def _leave_at_signal(number: int, frame: FrameType | None) -> None:
    leave(number)


def _flush() -> bool:
    """Write what was printed; return whether that was possible."""
    done = True
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:  # closed from the start, as by `>&-`
                stream.flush()
        except Exception:  # a full disk, a reader that is gone, or a print that the signal interrupted
            done = False
    return done
