"""One picture per file: each turns a report into a `Picture`."""
