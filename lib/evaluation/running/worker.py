"""The program of each process of a run with several, which ``lib.evaluation.running.runner`` starts."""

import faulthandler
import os
import pickle
import sys

from lib.runtime.program import program, starting

with starting():
    from lib.evaluation.running.progress import RunProgress
    from lib.evaluation.running.runner import track
    from lib.runtime.launch import ranks
    from lib.runtime.logs import set_up_logging
    from lib.runtime.stop import terminated_like_interrupted


@program()
def main() -> int:
    """Track the run that is pickled in the open file whose number is the argument. 0 when nothing is left to track, 1
    after an error."""
    set_up_logging(rank=ranks().rank, quiet=True)
    faulthandler.enable()
    with terminated_like_interrupted():
        job = int(sys.argv[1])
        track(pickle.loads(os.pread(job, os.fstat(job).st_size, 0)), RunProgress(0, 0, 0))
    return 0


if __name__ == "__main__":
    sys.exit(main())
