"""What a user gives to ``fit``, checked before anything is computed: options, model text, names in the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

from b2b_sem.errors import DataError, ModelSyntaxError, Unsupported, did_you_mean
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.partable import ParameterTable

__all__ = [
    "check_columns",
    "check_data",
    "check_names",
    "column_name",
    "model_text",
    "name_list",
    "refuse",
    "require_df",
]


#: How a list of names is written, in hints.
EXAMPLES = {"group_equal": "['loadings', 'intercepts']", "group_partial": "['F=~x2', 'x2~1']"}
_COLUMNS = "['x1', 'x2']"


def name_list(option: str, value: Any) -> tuple[str, ...]:
    """Return names given as one name, or as any list of names (a tuple, an array, an Index, ...).

    Raises
    ------
    DataError
        If the value is neither.
    """
    if value is None or isinstance(value, str):
        return () if not value else (value,)
    try:
        names = list(value)
    except TypeError:
        names = [value]
    odd = next((name for name in names if not isinstance(name, str)), None)
    if odd is not None:
        raise DataError(
            f"{option} holds {odd!r}, which is no name", hint=f"give {option}={EXAMPLES.get(option, _COLUMNS)}"
        )
    return tuple(str(name) for name in names)


def column_name(option: str, value: Any) -> str | None:
    """Return the name of a column as text; None where there is none.

    Raises
    ------
    DataError
        If the value is a list or an array.
    """
    if value is None:
        return None
    if not isinstance(value, str | Integral) or isinstance(value, bool):
        raise DataError(
            f"{option} is a {type(value).__name__}, not the name of a column", hint=f"give {option}='sector'"
        )
    return str(value)


def refuse(**options: tuple[Any, tuple[Any, ...], str]) -> None:
    """Raise for the first option whose value is not among those known: name=(value, known values, hint)."""
    for name, (value, known, hint) in options.items():
        if value not in known:
            words = [k for k in known if isinstance(k, str)]
            guess = did_you_mean(value, words) if isinstance(value, str) else ""
            raise Unsupported(f"{name}={value!r} is not available.{guess}", hint=hint)


def model_text(model: str | Path | ModelSpec) -> tuple[str, str | None]:
    """Return the model as text, and the file it was read from."""
    if isinstance(model, ModelSpec):
        return model.syntax(), None
    if isinstance(model, Path):
        try:
            return model.read_text(encoding="utf-8-sig"), str(model)
        except (OSError, UnicodeDecodeError) as error:
            raise ModelSyntaxError(f"cannot read the model: {error}", file=model) from error
    if not isinstance(model, str):
        raise ModelSyntaxError(
            f"the model is a {type(model).__name__}", hint="give lavaan syntax as text, a Path, or a loaded model"
        )
    return model, None


def check_columns(data: Any) -> list[str]:
    """Return the names of the columns of the data.

    Raises
    ------
    DataError
        If the columns have no names.
    """
    frame = getattr(data, "frame", data)
    if not hasattr(frame, "columns") and not isinstance(frame, Mapping):
        raise DataError(
            f"the data are a {type(frame).__name__}, whose columns have no names",
            hint="give a DataFrame, for example pd.DataFrame(array, columns=[...])",
        )
    return [str(c) for c in frame]


def check_names(table: ParameterTable, columns: list[str], sheets: Sequence[str] = ()) -> None:
    """Name unknown variables with their place in the model text; `sheets` of a workbook start with the one in use."""
    known = set(columns)
    for latent in table.latents:
        if latent in known:
            raise ModelSyntaxError(
                f"the latent variable '{latent}' has the name of a column of the data",
                file=table.file,
                line=next(r.line for r in table.rows if r.lhs == latent and r.op == "=~"),
                hint="rename one of the two",
            )
    for name in table.observed:
        if name not in known:
            row = next((r for r in table.rows if r.user and name in (r.lhs, r.rhs)), None)
            hint = "check the spelling; names are case-sensitive"
            if not did_you_mean(name, columns):
                shown = ", ".join(columns[:8]) + (", ..." if len(columns) > 8 else "")
                hint = f"the data have: {shown}"
                if len(sheets) > 1:
                    hint += f" (sheet '{sheets[0]}'; the workbook also has {', '.join(sheets[1:4])})"
            shown = name if len(name) <= 60 else name[:57] + "..."
            raise ModelSyntaxError(
                f"'{shown}' is neither a latent variable of the model nor a column of the data."
                f"{did_you_mean(name, [*columns, *table.latents])}",
                file=table.file,
                line=row.line if row is not None else None,
                column=row.column if row is not None and row.rhs == name else None,
                hint=hint,
            )


def check_data(table: ParameterTable, data: Any) -> None:
    """Name variables of the model that are no columns of the data, with the sheets of a workbook as a hint."""
    columns = check_columns(data)
    details = getattr(data, "details", {})
    check_names(table, columns, sorted(details.get("sheets", ()), key=lambda s: s != details.get("sheet")))


def require_df(
    counts: tuple[int, int, int],
    file: str | None,
    *,
    spare: int = 0,
    given: str = "moments",
    hint: str = "remove or fix parameters: a factor with two indicators, for example, must be related to another "
    "variable",
) -> None:
    """Refuse a model with more parameters than statistics, or with none.

    Parameters
    ----------
    counts : tuple of int
        Statistics, free parameters, degrees of freedom.
    file : str or None
        Of the model.
    spare : int
        Parameters that may be taken away by other constraints.
    given, hint : str
        What the statistics are, and what to do.

    Raises
    ------
    ModelSyntaxError
    """
    counted, free, df = counts
    if df + spare < 0:
        raise ModelSyntaxError(
            f"the model is not identified: it has {free} free parameters, but the data give only {counted} {given}",
            file=file,
            hint=hint,
        )
    if free == 0:
        raise ModelSyntaxError("the model has no free parameter", file=file)
