"""`python -m tiersplit_local.child PARENT_PID COMMAND…`: becomes COMMAND, which ends when its parent does."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel for the signal, then become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        # The parent went away before the signal was set.
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - an argument list that the supervisor made


if __name__ == "__main__":
    main()
