"""Conditions on tables as SQL: apart from LanceDB, for who only names what he wants gone."""

from collections.abc import Sequence


def quoted(text: str) -> str:
    """``text`` as an SQL string literal; any text, since nothing but the quote itself has a meaning."""
    return "'" + text.replace("'", "''") + "'"


def any_of(column: str, values: Sequence[str]) -> str:
    """An SQL condition: the column holds one of the values; false for none."""
    return f"{column} IN ({', '.join(map(quoted, values))})" if values else "false"
