"""Pure builders of the objects that a SplitDeployment owns: each returns what is applied."""
