"""Heads: how the conditionals p(x_i | x_1 .. x_{i-1}) of some species are described, one file for each family.

A head is a pure function of the `rows` numbers that its output layer gives for each of its species. It encodes values
for the species that follow, evaluates log-probabilities (counts) or log-densities (continuous values), and inverts the
cumulative distribution, so that samples are a function of uniform numbers. All its species are evaluated at once;
`take` gives the head of one of them alone.

Values come in double precision: they are standardised in it, and only what is then of order one is cast to the
precision of the parameters. The offset of the data thus costs no digits, and training stays in single precision.
Species that are constant have no conditionals (`Constant`).
"""

from typing import Annotated

from pydantic import Field

from weightflow.backbones.heads.constant import Constant
from weightflow.backbones.heads.gaussian import Gaussian
from weightflow.backbones.heads.logistic import Logistic
from weightflow.backbones.heads.softmax import Softmax

Head = Annotated[Softmax | Logistic | Gaussian, Field(discriminator="family")]

__all__ = ["Constant", "Gaussian", "Head", "Logistic", "Softmax"]
