#!/bin/sh
# Create the virtual environment named by $1 with a Python that Retrace supports.
set -u
env_folder=$1
fits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
found=
for name in "${PYTHON:-}" python3 python3.12 python3.13 python3.11; do
  if [ -n "$name" ] && command -v "$name" >/dev/null 2>&1 && "$name" -c "$fits" >/dev/null 2>&1; then
    found=$name
    break
  fi
done
if [ -z "$found" ]; then
  echo "Retrace needs Python 3.11, 3.12 or 3.13, and none was found. Install one, or name it: make run PYTHON=/path/to/python3"
  exit 1
fi
if ! "$found" -c 'import ensurepip' >/dev/null 2>&1; then
  if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    echo "Installing python3-venv…"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv; } >/dev/null 2>&1
  fi
  if ! "$found" -c 'import ensurepip' >/dev/null 2>&1; then
    echo "$found cannot create environments. Install its venv package (Debian, Ubuntu: sudo apt install python3-venv)."
    exit 1
  fi
fi
echo "Creating the environment $env_folder with $("$found" --version)…"
"$found" -m venv "$env_folder"
