"""Pictures and pages: why a plan is the best one, and what happened while a deployment ran."""
