"""What makes the host wait for a device, counted by operation.

The meta device stands in for the accelerator. Its tensors have no numbers, so an operation that reads one
gets a zero here and is counted. So is a copy between it and the host that may not run beside the host.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

DEVICE = "meta"
FROM_LIST = (torch.tensor, Tensor.new_tensor)  # numbers of the host, copied from memory that is not pinned


def _zero(x: Tensor) -> int | float | bool:
    return torch.zeros((), dtype=x.dtype).item()


READING = {  # operation -> its result for a tensor without numbers
    "_local_scalar_dense": _zero,
    "equal": lambda x, other: False,
    "nonzero": lambda x: torch.empty(1, x.dim(), dtype=torch.long, device=x.device),
    "masked_select": lambda x, mask: x.new_empty(1),
}


class _Operations(TorchDispatchMode):
    def __init__(self, found: Counter[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name, source = func.overloadpacket.__name__, _devices(args)
        if name in READING and DEVICE in source:
            self.found[name] += 1
            return READING[name](*args)
        if name == "_to_copy":
            target = str(kwargs.get("device") or args[0].device)
            if (target == DEVICE) != (DEVICE in source) and not kwargs.get("non_blocking"):
                self.found[f"copy to {target}"] += 1
            if target != DEVICE and DEVICE in source:
                return torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        if name == "copy_" and len(source) > 1 and not (len(args) > 2 and args[2]):
            self.found["copy_"] += 1
        return func(*args, **kwargs)


class _Lists(TorchFunctionMode):
    def __init__(self, found: Counter[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in FROM_LIST and result.device.type == DEVICE:
            self.found["numbers of the host"] += 1
        return result


class Waits:
    """Counts the operations inside the context that make the host wait, in `found`."""

    def __init__(self) -> None:
        self.found: Counter[str] = Counter()
        self._modes = _Operations(self.found), _Lists(self.found)

    def __enter__(self) -> Counter[str]:
        for mode in self._modes:
            mode.__enter__()
        return self.found

    def __exit__(self, *error: Any) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(*error)


def _devices(tree: Any) -> set[str]:
    return {x.device.type for x in tree_leaves(tree) if isinstance(x, Tensor)}
