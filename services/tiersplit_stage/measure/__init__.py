"""Measures layers and segments on the machine it runs on."""
