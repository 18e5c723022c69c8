# shellcheck shell=bash
# Sourced by the scripts beside it: goes to the repository's root and defines
#
#   prepare_venv FILE   gives the virtual environment $VENV the packages of a requirements file
#   run COMMAND…        runs a command, or only prints it if DRY_RUN is set
#   fail MESSAGE        ends the script
#
# From the environment:
#
#   DRY_RUN  if not empty, commands are printed, quoted for a shell, and nothing is done
#   VENV     the virtual environment's folder, made and remade as needed; default: .venv here
#   PYTHON   the Python to make it with; default: the first fit one of python3, python3.13, …

set -euo pipefail
# Where it is set, Python compiles thousands of modules anew at each start: 10 s of it.
unset PYTHONDONTWRITEBYTECODE
unset CDPATH

case ${VENV:=} in "" | /*) ;; *) VENV=$PWD/$VENV ;; esac
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
VENV=${VENV:-$PWD/.venv}

fail() {
  echo "error: $*" >&2
  exit 1
}

run() {
  if [ -z "${DRY_RUN:-}" ]; then
    "$@"
  else
    printf '%q ' "$@" | sed 's/ $//'
    echo
  fi
}

# If $1 is a Python to build on, prints its path. Within a virtual environment that is the Python
# below it: a shell may have activated the very environment that has to be remade.
fit_python() {
  "$1" -c 'import sys
if not (3, 11) <= sys.version_info[:2] <= (3, 13): sys.exit(1)
print(sys._base_executable)' 2>/dev/null
}

find_python() {
  local candidate
  if [ -n "${PYTHON:-}" ]; then
    fit_python "$PYTHON" || fail "PYTHON=$PYTHON is not Python 3.11, 3.12 or 3.13: point it at one"
    return
  fi
  for candidate in python3 python3.13 python3.12 python3.11; do
    if fit_python "$candidate"; then return; fi
  done
  fail "no Python 3.11, 3.12 or 3.13 found: install one, or point PYTHON at it"
}

# An environment is sound if it was made to the end, still runs, and is of PYTHON's version.
venv_is_sound() {
  [ ! -e "$VENV.unfinished" ] &&
    "$VENV/bin/python" -c 'import pip' 2>/dev/null &&
    { [ -z "${PYTHON:-}" ] || [ "$("$PYTHON" -V 2>&1)" = "$("$VENV/bin/python" -V)" ]; }
}

make_venv() {
  local python
  python=$(find_python)
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python lacks venv or ensurepip: install them (Debian, Ubuntu: apt install python3-venv), or point PYTHON at another Python"
  if [ -e "$VENV" ] && [ ! -e "$VENV/pyvenv.cfg" ] && [ ! -e "$VENV.unfinished" ]; then
    fail "VENV=$VENV exists and is not a virtual environment: name another folder"
  fi
  # Until the first installation is through: a run after an interrupted one starts over.
  mkdir -p "$VENV.unfinished"
  rm -rf "$VENV"
  "$python" -m venv "$VENV"
}

# What the lists beside $1 say, of which it names some.
wanted_packages() {
  find "$(dirname "$1")" -maxdepth 2 -path "*/requirements*.txt" -print0 | LC_ALL=C sort -z | xargs -0 cat
}

prepare_venv() {
  local stamp wanted
  if ! venv_is_sound; then make_venv; fi
  # What was installed, so that the next run starts at once and without network.
  stamp=$VENV/.installed-$(basename "$1")
  wanted=$(wanted_packages "$1")
  if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then return; fi
  echo "Installing the packages of $1 into $VENV: a few minutes the first time."
  # Python compiles a module when it is first imported. To compile all 17 000 here takes 75 s more.
  "$VENV/bin/python" -m pip install --disable-pip-version-check --no-compile -r "$1" ||
    fail "could not install the packages of $1 (pip says why above); run again to go on"
  printf '%s\n' "$wanted" >"$stamp"
  rm -rf "$VENV.unfinished"
}
