"""Linear inverse problems with a generator as the prior: an image from its measurements :math:`y = Ax + \\eta`.

.. code-block:: python

    gan = ganinv.load("faces64")
    op = operator("inpaint:half", gan.resolution)
    y = measure(x, op)
    found = csgm(gan, y, op, CSGM(restarts=8))
    found.image, found.misfit, found.candidates

A solver is a function ``solver(gan, y, operator, config, callback, resume) -> Recovery`` that registers itself; :data:`SOLVERS` names them, in the
order in which they are imported here.
"""

# isort: off
from .operators import PROBLEMS, Operator, operator
from .register import SOLVERS, Solver, measure, recover, solver
from .recovery import Recovery
from .csgm import CSGM, csgm
from .pgd_gan import PGDGAN, pgd_gan, projected_gradient
from .near_perfect import Tuning, near_perfect
from .deep_image_prior import DeepImagePrior, deep_image_prior
from .lasso import Lasso, lasso
from .total_variation import TotalVariation, total_variation

# isort: on

__all__ = [
    "CSGM",
    "PGDGAN",
    "PROBLEMS",
    "SOLVERS",
    "DeepImagePrior",
    "Lasso",
    "Operator",
    "Recovery",
    "Solver",
    "TotalVariation",
    "Tuning",
    "csgm",
    "deep_image_prior",
    "lasso",
    "measure",
    "near_perfect",
    "operator",
    "pgd_gan",
    "projected_gradient",
    "recover",
    "solver",
    "total_variation",
]
