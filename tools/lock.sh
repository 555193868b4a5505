#!/bin/sh
# usage: tools/lock.sh PYTHON TORCH     writes requirements.lock: pyproject.toml and its extras resolved for
#                                       Python 3.11 to 3.13, one set of versions for the three. The extras wandb
#                                       and mlflow are left out: they bring some 30 packages each. The extra
#                                       test brings pygame-ce and minigrid, two foreign sorts of environments.
set -eu

python=$1
torch=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q uv

# the range on torch is open, but the locked one is chosen by hand
echo "torch==$torch" > "$work/torch.txt"
"$work/venv/bin/uv" pip compile -q pyproject.toml \
    --extra tensorboard --extra pandas --extra digits --extra gym --extra play --extra report --extra zarr \
    --extra atari --extra test --extra docs --extra lint \
    --constraint "$work/torch.txt" \
    --universal --python-version 3.11 --fork-strategy fewest \
    --no-header --no-annotate --output-file "$work/lock.txt"
{
    echo "# Made by 'make lock' from pyproject.toml, for Python 3.11 to 3.13 on Linux; elsewhere best effort."
    echo "# torch's CUDA packages are not listed: torch asks for exact versions of them itself, or for none."
    grep -Ev '^(cuda-|nvidia-|triton)' "$work/lock.txt"
} > requirements.lock
