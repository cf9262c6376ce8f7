"""What may be tried: the parameters of a search, and the preparations that trials share, as YAML."""
