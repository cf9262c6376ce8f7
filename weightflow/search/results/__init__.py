"""What is made of trials, or of a model without any: fits, scores, a report, runs in MLflow."""
