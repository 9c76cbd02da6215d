#!/bin/sh
# Serves from the source, to whoever has the key that it prints once: the container's address is not this machine's.
set -eu
if [ ! -e "$DIPTYCH_HOME/api-keys.json" ]; then
    echo "The API key, shown this once:"
    diptych keys create development --scope admin
fi
exec diptych serve
