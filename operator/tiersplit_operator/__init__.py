"""The Kubernetes operator: watches SplitDeployments and makes the cluster what they say."""
