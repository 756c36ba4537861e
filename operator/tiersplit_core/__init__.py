"""The pure heart of tiersplit: graphs, costs, plans, surfaces, codecs and decisions; no I/O, no clock, no threads."""
