module tiersplit.dev/tests/cluster/tools/probe

go 1.26
