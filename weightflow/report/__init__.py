"""A self-contained HTML report of a search, and its pictures."""

from weightflow.report.condition_page import write_condition_report
from weightflow.report.content import POINTS, ConditionReport, Model, Report
from weightflow.report.page import write_report

__all__ = ["POINTS", "ConditionReport", "Model", "Report", "write_condition_report", "write_report"]
