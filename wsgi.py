"""What servers and the `flask` command load."""

import json
import sys
from dataclasses import asdict

from app import create_app
from config import ConfigError

try:
    app = create_app()
except ConfigError as error:
    if {"doctor", "--json"} <= set(sys.argv):  # the command itself, which prints the same, is never reached
        print(json.dumps({"healthy": False, "findings": [asdict(finding) for finding in error.findings]}, indent=2))
    print(error, file=sys.stderr)
    sys.exit(error.exit_status)
