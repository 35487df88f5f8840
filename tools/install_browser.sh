#!/bin/sh
# A browser for the browser tests: one that is there, else Debian's chromium where we may install it, else a notice.
set -u
for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome; do
  if [ -n "$name" ] && command -v "$name" >/dev/null 2>&1; then exit 0; fi
done
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
  echo "Installing chromium for the browser tests…"
  if apt-get update -qq >/dev/null 2>&1 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null 2>&1
  then exit 0; fi
fi
echo "No chromium was found, and it could not be installed: the browser tests will be SKIPPED."
echo "Install chromium (Debian, Ubuntu: sudo apt install chromium), or set CHROMIUM to a Chrome or Chromium binary."
