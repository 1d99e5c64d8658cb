"""`python -m mdtranslate`."""

from mdtranslate.cli import main

if __name__ == "__main__":
    main()
