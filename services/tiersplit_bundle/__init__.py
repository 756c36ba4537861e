"""The bundle: everything that is needed to run a model split, as an OCI image layout."""
