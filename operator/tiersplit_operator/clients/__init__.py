"""The only room that talks to the outside: the Kubernetes API, the registry, Prometheus."""
