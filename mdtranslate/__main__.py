"""Runs the command line: `python -m mdtranslate`."""

from mdtranslate.cli.main import main

if __name__ == "__main__":
    main()
