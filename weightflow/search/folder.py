"""What a search leaves in its folder, by name."""

MODEL = "best"  # a model directory
SCORES = "scores.json"
CONDITIONS = "conditions.json"  # scores of each condition, where some were left out
REPORT = "report.html"
CONCLUSION = "conclusion.json"
STUDY = "study.log"
CHECKPOINTS = "checkpoints"  # of trials that run
NOTES = "tune"  # of Ray, about one run of the search; those of a run that goes on with it have a number behind it
