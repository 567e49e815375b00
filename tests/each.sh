#!/usr/bin/env bash
# Run pytest on some files: one line if all of them passed, the whole report if not.
files=$(echo ${@##-*})  # the options left out
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if .venv/bin/python -m pytest -q -p no:cacheprovider "$@" >"$log" 2>&1; then
  echo "$files: $(tail -n 1 "$log")"
else
  cat "$log"
  echo "$files: FAILED"
  exit 1
fi
