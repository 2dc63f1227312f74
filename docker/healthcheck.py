"""Exit status 0 when the service in this container may be asked, 1 when not; for HEALTHCHECK.

Asks the loopback address straight, whatever proxy the environment names.
"""

from __future__ import annotations

import sys
from http.client import HTTPConnection, HTTPException

PORT = 8000
PATIENCE_S = 4.0


def ready(port: int) -> bool:
    """Whether ``/health/ready`` answers 200."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if ready(int(sys.argv[1]) if len(sys.argv) > 1 else PORT) else 1)
