"""`python -m tiersplit_operator`."""

from tiersplit_operator.main import main

main()
