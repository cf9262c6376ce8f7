"""The Ray-distributed hyperparameter search, one room for each part of its way.

- `request`: one call for a whole search; `search`: what it asks for; `run`: its course; `result`: what a caller gets;
- `space`: what may be tried, as YAML;
- `study`: Optuna's study on the disk: storage, samplers, scheduler;
- `cluster`: what trials run on: nodes, resources, the pool of workers;
- `trials`: Ray Tune runs them: trainable, searcher, stopper, live table;
- `results`: what is made of them: final fit, scores, report;
- `jobs`: searches that are submitted to a cluster from elsewhere.
"""
