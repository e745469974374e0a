#!/bin/sh
# The command line inside the image; the sources come by PYTHONPATH.
exec python -c 'import sys; sys.argv[0] = "andon"; from andon.cli.main import main; main()' "$@"
