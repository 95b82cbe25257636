"""Python starts with this where a test wants to know what hangs: SIGUSR1 writes the stacks of all threads to a file."""

import faulthandler
import os
import signal

faulthandler.register(signal.SIGUSR1, open(os.environ["STACKS"], "w"), all_threads=True)  # noqa: SIM115 - kept open
