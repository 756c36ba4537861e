"""What crosses the network between stages, controller and clients: gRPC and frames, no torch."""
