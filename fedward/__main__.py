"""``python -m fedward`` is the same as the ``fedward`` command."""

from fedward.cli import main

if __name__ == "__main__":
    main()
