"""``python -m regfs``: the commands, as ``regfs`` is."""

from regfs.cli import main

if __name__ == "__main__":
    main()
