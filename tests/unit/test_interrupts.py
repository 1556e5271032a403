"""What a test session gives to the programs that it starts."""

import signal
import subprocess
import sys

SAY_WHETHER_IGNORED = "import signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"


def test_children_can_be_interrupted_however_the_session_was_started() -> None:
    """Rule: tests that press Ctrl+C work under nohup and in background jobs too, where SIGINT starts out ignored."""
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    child = subprocess.run([sys.executable, "-c", SAY_WHETHER_IGNORED], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "False"
