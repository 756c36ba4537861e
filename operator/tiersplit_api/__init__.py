"""The SplitDeployment resource as the operator and the local mode both read it."""
