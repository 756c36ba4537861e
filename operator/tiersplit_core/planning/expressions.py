"""Linear expressions over the columns of a mixed-integer program."""

from collections.abc import Iterable

from tiersplit_core.cost.arrays import Floats

Expression = tuple[dict[int, float], float]
"""Coefficient per column, and a constant."""
Term = tuple[Expression, float]
"""What is 1 where something costs and 0 elsewhere, and its scaled seconds."""

NEVER: Expression = ({}, 0.0)
"""What is 0 in every solution."""
ALWAYS: Expression = ({}, 1.0)
"""What is 1 in every solution."""


def column(number: int) -> Expression:
    """One column by itself."""
    return {number: 1.0}, 0.0


def add(first: Expression, second: Expression, factor: float) -> Expression:
    """First + factor · second."""
    coefficients = dict(first[0])
    for number, value in second[0].items():
        coefficients[number] = coefficients.get(number, 0.0) + factor * value
    return coefficients, first[1] + factor * second[1]


def value_of(expression: Expression, columns: Floats) -> float:
    """What an expression comes to for given columns, shape (columns,)."""
    return expression[1] + sum(factor * float(columns[number]) for number, factor in expression[0].items())


def total(terms: Iterable[tuple[Expression, float]]) -> Expression:
    """The sum of expressions with factors."""
    coefficients: dict[int, float] = {}
    constant = 0.0
    for (summand, offset), factor in terms:
        constant += factor * offset
        for number, value in summand.items():
            coefficients[number] = coefficients.get(number, 0.0) + factor * value
    return coefficients, constant


def any_of(expressions: Iterable[Expression]) -> Expression:
    """The sum of expressions of which at most one is 1."""
    return total((expression, 1.0) for expression in expressions)
