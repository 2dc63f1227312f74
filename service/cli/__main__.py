"""``python -m service.cli`` is ``breast-cascade``."""

from service.cli.command import main

main()
