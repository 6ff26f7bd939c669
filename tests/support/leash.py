"""Run a command that ends when our standard input does: `python leash.py COMMAND...`.

For servers that don't watch their own. However the holder of the pipe's other end dies, the command
doesn't outlive it.
"""

import signal
import subprocess
import sys
import threading


def main() -> int:
    with subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL) as command:
        signal.signal(signal.SIGTERM, lambda *_: command.terminate())
        threading.Thread(target=_terminate_at_end_of_input, args=(command,), daemon=True).start()
        return command.wait()


def _terminate_at_end_of_input(command: subprocess.Popen[bytes]) -> None:
    sys.stdin.buffer.read()
    command.terminate()


if __name__ == "__main__":
    sys.exit(main())
