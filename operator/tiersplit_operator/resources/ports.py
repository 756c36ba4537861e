"""The ports of a stage's container, and what they are called in Services and monitors."""

INFERENCE, ACTIVATIONS, HEALTH, METRICS = 8001, 9000, 9001, 9090
INFERENCE_NAME, ACTIVATIONS_NAME, HEALTH_NAME, METRICS_NAME = "inference", "activations", "health", "metrics"
