"""`python -m tiersplit_cli`."""

from tiersplit_cli.main import main

main()
