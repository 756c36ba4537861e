"""`python -m tiersplit_stage`: one stage of a split model."""

import sys

from tiersplit_stage.sessions import bound_heap

if __name__ == "__main__":
    bound_heap()  # before anything large is allocated
    from tiersplit_stage.main import main

    main(sys.argv[1:])
