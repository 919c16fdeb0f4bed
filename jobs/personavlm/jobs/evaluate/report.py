"""Figures of an evaluation, and the table that shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict
from rich.table import Table

from personavlm.jobs.rewards.reward import Parts


class Figures(BaseModel):
    """Means over ``questions``. ``accuracy`` is that of answers which are right for the right reason."""

    model_config = ConfigDict(frozen=True)

    questions: int
    reward: float
    accuracy: float
    right: float
    """Right for whatever reason."""
    form: float
    retrievals: float

    @classmethod
    def of(cls, scores: Iterable[Parts]) -> Self:
        """The means. ValueError without scores."""
        scores = list(scores)
        if not scores:
            raise ValueError("no question was answered: there is nothing to report")
        n = len(scores)
        return cls(
            questions=n,
            reward=sum(score.reward() for score in scores) / n,
            accuracy=sum(score.accuracy * score.consistency for score in scores) / n,
            right=sum(score.accuracy for score in scores) / n,
            form=sum(score.form for score in scores) / n,
            retrievals=sum(score.retrievals for score in scores) / n,
        )


class Condition(BaseModel):
    """One way to answer all questions: figures of all, by kind and by form of the question."""

    model_config = ConfigDict(frozen=True)

    name: str
    all: Figures
    kinds: Mapping[str, Figures]
    forms: Mapping[str, Figures]


class Report(BaseModel):
    """What an engine reached under each condition."""

    model_config = ConfigDict(frozen=True)

    model: str
    version: str
    conditions: tuple[Condition, ...]

    def condition(self, name: str) -> Condition:
        """The condition of that name. KeyError."""
        return {condition.name: condition for condition in self.conditions}[name]

    def tables(self) -> list[Table]:
        """Means under each condition, then right answers by kind and form."""
        means = Table("condition", *_COLUMNS, title=f"{self.model} ({self.version})")
        for condition in self.conditions:
            means.add_row(condition.name, *_cells(condition.all))
        return [means, self._groups()]

    def compared(self, before: Report) -> Table:
        """Reward, format and searches of another report's conditions beside these."""
        table = Table("condition", "reward", "", "gain", "format", "", "retrievals", "")
        table.title = f"{before.model} ({before.version}), then {self.model} ({self.version})"
        earlier = {condition.name: condition.all for condition in before.conditions}
        for condition in self.conditions:
            if (old := earlier.get(condition.name)) is None:
                continue
            new = condition.all
            cells = [old.reward, new.reward, old.form, new.form, old.retrievals, new.retrievals]
            shown = [f"{value:.2f}" for value in cells]
            table.add_row(condition.name, *shown[:2], f"{new.reward - old.reward:+.2f}", *shown[2:])
        return table

    def _groups(self) -> Table:
        first = self.conditions[0]
        names = [condition.name for condition in self.conditions]
        table = Table("questions", "n", *names, title="right, for the right reason")
        for group in ("forms", "kinds"):
            for key, figures in getattr(first, group).items():
                shares = [getattr(condition, group)[key].accuracy for condition in self.conditions]
                table.add_row(key, str(figures.questions), *(f"{share:.2f}" for share in shares))
        return table


_COLUMNS = ("questions", "reward", "accuracy", "right", "format", "retrievals")


def _cells(figures: Figures) -> list[str]:
    parts = (figures.reward, figures.accuracy, figures.right, figures.form, figures.retrievals)
    return [str(figures.questions), *(f"{part:.2f}" for part in parts)]
