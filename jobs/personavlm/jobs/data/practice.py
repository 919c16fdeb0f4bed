"""Questions of files as a task for rollouts, and the memories that they are asked of."""

from __future__ import annotations

from datetime import timedelta, timezone
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from random import Random

from PIL import Image

from personavlm.jobs.data.image_files import image_bytes
from personavlm.jobs.data.problems import DataError, Problem
from personavlm.jobs.data.reading import questions
from personavlm.jobs.data.rows import QuestionRow, RowImage
from personavlm.jobs.rewards.base import Judge
from personavlm.jobs.rollouts.tasks import Question
from personavlm.memory_store import ImageRef, MemoryStore, UserKey
from personavlm.platform.agent.types import Message


class QuestionTask:
    """The questions of a file or folder, in another order in each epoch. A `Task` that knows no judge.

    Raises `DataError` for wrong data, and for a question that names no user: it can search no memory.
    """

    def __init__(self, path: Path, tenant: str, seed: int = 0) -> None:
        self.rows = tuple(questions(path))
        if not self.rows:
            raise DataError(Problem(path, 0, "", "holds no question", "Give a file of questions."))
        for number, row in enumerate(self.rows, 1):
            if row.user is None or row.asked_at is None:
                remedy = "Say whose memory is asked, and when."
                raise DataError(Problem(path, number, "user", f"{row.id} names no user", remedy))
        self._tenant, self._seed = tenant, seed

    def question(self, number: int) -> Question:
        """Question ``number`` of the stream: the same in every process, and every row once an epoch."""
        epoch, place = divmod(number, len(self.rows))
        order = list(range(len(self.rows)))
        Random(f"{self._seed} {epoch}").shuffle(order)
        return self._asked(self.rows[order[place]])

    def judge(self) -> Judge | None:
        """None: what is right in other words, only a model can tell."""
        return None

    def fill(self, store: MemoryStore, archives: Path) -> None:
        """Bring what the questions are asked of into an empty store: each user's archive (``user.zip``), and
        the images that the questions show. Raises `DataError` for an archive that is missing."""
        for user in sorted({row.user for row in self.rows if row.user}):
            archive = archives / f"{user}.zip"
            if not archive.is_file():
                problem = f"the memory of {user} is not there"
                raise DataError(Problem(archive, 0, "", problem, "Take all of the folder `stores`."))
            with archive.open("rb") as file:
                store.transfer.import_user(UserKey(self._tenant, user), file)
        for row in self.rows:
            for image in row.images:
                data, ref = image_bytes(image), _ref(image)
                user_key = UserKey(self._tenant, row.user or "")
                store.put_image(user_key, data, ref.media_type, ref.width, ref.height)

    def _asked(self, row: QuestionRow) -> Question:
        assert row.user is not None and row.asked_at is not None
        zone = timezone(timedelta(minutes=row.utc_offset_minutes))
        images = tuple(_ref(image) for image in row.images)
        message = Message(
            UserKey(self._tenant, row.user), row.full_prompt, row.asked_at.astimezone(zone), images
        )
        return Question(row.id, message, row.gold, row.options, row.evidence, row.kind)


def _ref(image: RowImage) -> ImageRef:
    data = image_bytes(image)
    with Image.open(BytesIO(data)) as opened:
        media_type = Image.MIME[opened.format or "PNG"]
        return ImageRef(sha256(data).hexdigest(), media_type, *opened.size)
