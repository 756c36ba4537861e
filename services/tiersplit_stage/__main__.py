"""`python -m tiersplit_stage`: one stage of a split model."""

import sys

from tiersplit_stage.sessions import relax_heap

if __name__ == "__main__":
    relax_heap()  # before anything large is allocated; loading bounds it for a while
    from tiersplit_stage.main import main

    main(sys.argv[1:])
