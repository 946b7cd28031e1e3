"""Processes that are forked from one which has imported TensorFlow and run nothing with it."""

import os
import sys
import time
import traceback

PATIENCE = 120  # seconds that a process may take


def start(log, work, *arguments):
    """Starts a process that does some work and writes what it says to a file; returns its id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        with open(log, "a") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        work(*arguments)
        status = 0
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def ended(pid):
    """Returns the exit code of a process that has ended, negative for a signal; or None."""
    done, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


def wait(pids):
    """Waits for processes and returns their exit codes; what is late is killed."""
    codes, end = dict.fromkeys(pids), time.monotonic() + PATIENCE
    while None in codes.values():
        if time.monotonic() > end:
            for pid in pids:
                if codes[pid] is None:
                    os.kill(pid, 9)
        for pid in pids:
            codes[pid] = ended(pid) if codes[pid] is None else codes[pid]
        time.sleep(0.05)
    return list(codes.values())
