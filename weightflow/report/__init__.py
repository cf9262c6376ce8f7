"""A self-contained HTML report of a search, and its pictures."""

from weightflow.report.content import POINTS, Model, Report
from weightflow.report.page import write_report

__all__ = ["POINTS", "Model", "Report", "write_report"]
