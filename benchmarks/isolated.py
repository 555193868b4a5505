"""Calls in a forked process of their own: a crash, a hang or a flood of memory ends that process alone."""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import resource
import select
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from data_gen.errors import DataError
from seqvae.errors import UserError

SECONDS = 10  # of CPU time, after which a call hangs
PATIENCE = 30  # times as long by the clock: other programs may have the cores
ADDRESSES = 8 * 2**30  # bytes that a call may allocate, whether it uses them or not
DONE, REFUSED, TRACEBACK, CRASH, HANG = "done", "refused", "traceback", "crash", "hang"


@dataclass(frozen=True)
class Outcome:
    """The end of a call.

    kind: done; refused, by an error of bad input; traceback, of any other exception; crash; hang
    text: message of the error, traceback, or signal
    memory: bytes that the process held at most, beyond those before the call
    seconds: CPU time
    output: what it printed on stderr
    """

    kind: str
    text: str = ""
    memory: int = 0
    seconds: float = 0.0
    output: str = ""


def isolated(call: Callable[[], Any], seconds: int = SECONDS) -> Outcome:
    """Call a function in a fork of this process, for at most some seconds of CPU time."""
    read_end, write_end = os.pipe()
    with tempfile.TemporaryFile() as printed:
        end = time.monotonic() + PATIENCE * seconds
        process = os.fork()
        if process == 0:
            os.close(read_end)
            _child(call, write_end, printed.fileno(), seconds)
        os.close(write_end)
        text = _read(read_end, end)
        os.close(read_end)
        if text is None:
            os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        printed.seek(0)
        output = printed.read().decode(errors="replace").strip()
    number = os.waitstatus_to_exitcode(status)
    if text is None or number == -signal.SIGXCPU:
        return Outcome(HANG, f"over {seconds} s", seconds=seconds, output=output)
    if not text:
        name = signal.Signals(-number).name if number < 0 else f"exit code {number}"
        return Outcome(CRASH, name, output=output)
    return Outcome(**(json.loads(text) | {"output": output}))


def command(main: Callable[[list[str]], int], words: list[str]) -> None:
    """Run a command in this process; raise UserError where it ends in a line, RuntimeError in a traceback."""
    with contextlib.redirect_stderr(io.StringIO()) as printed:
        code = main(words)
    text = printed.getvalue().strip()
    if code and "Traceback" in text:
        raise RuntimeError(f"exit code {code}: {text}")
    if code:  # before its last line, a command may have told what it does
        raise UserError(text if code == 2 else text.splitlines()[-1])


def _child(call: Callable[[], Any], pipe: int, printed: int, seconds: int) -> None:
    """Call, write the outcome as JSON and end the process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(printed, 2)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # ends with its parent
    before = _status("VmRSS")
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = _status("VmSize") + ADDRESSES
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard < 0 else min(limit, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    try:
        call()
        found = Outcome(DONE)
    except (DataError, UserError) as error:
        found = Outcome(REFUSED, str(error))
    except BaseException:
        found = Outcome(TRACEBACK, traceback.format_exc())
    memory = max(0, _status("VmHWM") - before)
    with os.fdopen(pipe, "w") as file:
        json.dump(asdict(found) | {"memory": memory, "seconds": time.process_time()}, file)
    os._exit(0)


def _status(key: str) -> int:
    """Return a number of /proc/self/status, in bytes."""
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(f"{key}:"))
    return 1024 * int(line.split()[1])


def _read(pipe: int, end: float) -> str | None:
    """Return what comes through a pipe until it is closed; None if that lasts too long."""
    parts = []
    while True:
        ready, _, _ = select.select([pipe], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            return None
        part = os.read(pipe, 65536)
        if not part:
            return b"".join(parts).decode()
        parts.append(part)
