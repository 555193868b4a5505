#!/bin/sh
# usage: tools/venv.sh DIR       makes DIR a virtual environment with the locked packages and this project, or
#                                leaves it alone when it is already that.
# PYTHON  the interpreter to use; by default the newest of Python 3.11 to 3.13 found
# TORCH   what to give to pip instead of the locked torch; remembered in DIR until it is said anew
set -eu

venv=${1:?usage: tools/venv.sh DIR}
stamp=$venv/.installed    # written last: it lists what the environment was made from
choice=$venv/.torch
unset VIRTUAL_ENV PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV

[ -n "${TORCH:-}" ] || TORCH=$(cat "$choice" 2>/dev/null || true)
kind=$(printf 'place %s\ntorch %s' "$(pwd)" "$TORCH")
wanted=$(echo "$kind"; cksum requirements.lock pyproject.toml setup.py)

if [ "$(cat "$stamp" 2>/dev/null || true)" = "$wanted" ] && "$venv/bin/python" -c "" 2>/dev/null; then
    exit 0
fi

fits='import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
for python in ${PYTHON:-python3.13 python3.12 python3.11 python3 python}; do
    if "$python" -c "$fits" >/dev/null 2>&1; then found=$python; break; fi
done
if [ -z "${found:-}" ]; then
    echo "seqvae needs Python 3.11, 3.12 or 3.13 with its venv module; tried: ${PYTHON:-python3.13 python3.12 python3.11 python3 python}" >&2
    exit 2
fi

# Another lock brings the environment up to date where it is. One that lacks its stamp is half made, one that was
# moved calls the old place, and pip takes one build of torch for another: those are made anew. Anything that is
# no environment at all is not ours to delete.
if [ -e "$venv" ] && ! { [ "$(head -n 2 "$stamp" 2>/dev/null)" = "$kind" ] && "$venv/bin/python" -c "" 2>/dev/null; }; then
    if [ ! -e "$venv/pyvenv.cfg" ] && [ -n "$(ls -A "$venv")" ]; then
        echo "$venv is there but is no virtual environment: move it away, or say VENV=another-folder" >&2
        exit 2
    fi
    echo "$venv is incomplete, or was made for something else: making it anew"
    rm -rf "$venv"
fi
rm -f "$stamp"

echo "installing into $venv with $("$found" --version) (once; several minutes)"
[ -e "$venv/pyvenv.cfg" ] || "$found" -m venv "$venv"
pip="$venv/bin/python -m pip --disable-pip-version-check"
quiet=${CI:+-q}
if [ -n "$TORCH" ]; then
    printf '%s\n' "$TORCH" > "$choice"
    $pip install $quiet $TORCH  # unquoted: a requirement and options
    grep -v '^torch==' requirements.lock > "$venv/lock-without-torch.txt"
    $pip install $quiet -r "$venv/lock-without-torch.txt"
else
    $pip install $quiet -r requirements.lock
fi
# the build backend is in the lock, so the project itself is installed without fetching anything more
$pip install $quiet --no-deps --no-build-isolation -e .
printf '%s\n' "$wanted" > "$stamp"
echo "installed"
