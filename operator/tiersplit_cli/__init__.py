"""The command line: `tiersplit …`."""
