"""What every controller does, on one machine or on a cluster: intent, surface, catalogue, route."""
