"""What servers and the `flask` command load."""

import sys

from app import create_app
from config import ConfigError

try:
    app = create_app()
except ConfigError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_status)
