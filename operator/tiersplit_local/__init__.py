"""The same manifest on one machine: a process per tier, emulated links, live status."""
