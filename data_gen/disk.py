"""A file under HDF5 that survives a full disk."""

import io


class PatientFile(io.FileIO):
    """A file that keeps the first error of a write for `check`, and takes whatever comes after it.

    HDF5 cannot close a file that it fails to write, and crashes the process when it tries again at exit.
    Here it never learns of the failure: whoever writes asks `check`, and throws the file away.
    """

    error: OSError | None = None

    def check(self) -> None:
        """Raise the OSError of the first write that failed, if one did."""
        if self.error is not None:
            raise self.error

    def write(self, data) -> int:
        rest = memoryview(data)
        while self.error is None and rest:
            try:
                rest = rest[super().write(rest) :]  # a nearly full disk takes a part
            except OSError as error:
                self.error = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        if self.error is None:
            try:
                return super().truncate(size)
            except OSError as error:
                self.error = error
        return size or 0
