"""Heads: how one species' conditional p(x_i | x_1 .. x_{i-1}) is described, one file for each family.

A head is a pure function of the `rows` numbers that the backbone's last layer gives it. It encodes a value for the
species that follow, evaluates a log-probability (counts) or log-density (continuous values), and inverts its
cumulative distribution, so that samples are a function of uniform numbers.
"""

from typing import Annotated

from pydantic import Field

from weightflow.backbones.heads.gaussian import Gaussian
from weightflow.backbones.heads.logistic import Logistic
from weightflow.backbones.heads.softmax import Softmax

Head = Annotated[Softmax | Logistic | Gaussian, Field(discriminator="family")]

__all__ = ["Gaussian", "Head", "Logistic", "Softmax"]
