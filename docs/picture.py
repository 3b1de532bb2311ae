"""``python -m docs.picture PAGE``: a picture of the spend report's first screen, with Chromium."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
PICTURE = Path(__file__).parent / "report.png"
SIZE = "820,920"


def main() -> int:
    """Draw the page that is named on the command line; return the exit code."""
    page = Path(sys.argv[1]).resolve()
    if not page.is_file():
        print(f"{page} is not there: `make demo` writes it")
        return 1
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        print("No Chromium: install it with apt-get install chromium-headless-shell")
        return 1
    command = [executable, "--headless", "--no-sandbox", "--hide-scrollbars"]
    command += [f"--window-size={SIZE}", f"--screenshot={PICTURE}", page.as_uri()]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
