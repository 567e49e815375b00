#!/usr/bin/env bash
# Run pytest on one file, given last: one line if all of it passed, the whole report if not.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if .venv/bin/python -m pytest -q -p no:cacheprovider "$@" >"$log" 2>&1; then
  echo "${*: -1}: $(tail -n 1 "$log")"
else
  cat "$log"
  echo "${*: -1}: FAILED"
  exit 1
fi
