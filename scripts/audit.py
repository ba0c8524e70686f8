"""Ask whether a known vulnerability touches what Rekey runs on: `python -m scripts.audit`.

Fails when one does. Where the advisory data cannot be reached, it says so and passes: no build should hang on that.
"""

import json
import subprocess
import sys

COMMAND = "pip_audit --requirement requirements.txt --disable-pip --no-deps --format json --timeout 5"
PATIENCE = 60  # seconds


def main() -> None:
    found = audit()
    known = [package for package in found if "vulns" in package]
    touched = [package for package in known if package["vulns"]]
    for package in touched:
        names = ", ".join(advisory["id"] for advisory in package["vulns"])
        print(f"{package['name']} {package['version']}: {names}")
    if len(known) < len(found) or not found:
        print(f"audit: advisory data reached for {len(known)} of {len(found)} packages; the others are not checked")
    sys.exit(bool(touched))


def audit() -> list[dict]:
    command = [sys.executable, "-m", *COMMAND.split()]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        return json.loads(result.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        return []


if __name__ == "__main__":
    main()
