"""Searches as jobs of a Ray cluster: what is sent there, how it is followed, and what comes back."""
