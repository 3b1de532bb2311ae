"""``python -m claude_report``."""

from claude_report.cli import main

if __name__ == "__main__":
    main()
