"""``python -m service.cli`` is ``breast-cascade``."""

from service.cli import main

if __name__ == "__main__":
    main()
