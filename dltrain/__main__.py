"""python -m dltrain is the same as dltrain."""

from dltrain.cli import main

main()
