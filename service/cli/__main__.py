"""``python -m service.cli`` is ``breast-cascade``."""

from service.cli.command import main

if __name__ == "__main__":
    main()
