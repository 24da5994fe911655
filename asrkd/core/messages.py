"""What a person is told while work goes on: one line at a time, on standard error."""

import sys


def say(line: str) -> None:
    """Print a line whole: processes that share a terminal or a log do not break into each other's."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
