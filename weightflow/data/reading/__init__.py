"""Files in, data sets out: one reader for all formats.

Nothing pickled is ever loaded. What reads a table imports pandas: that takes 0.4 s, and most data are arrays.
"""

from weightflow.data.reading.options import Missing, ReadOptions
from weightflow.data.reading.read import FORMATS, from_anndata, read

__all__ = ["FORMATS", "Missing", "ReadOptions", "from_anndata", "read"]
