"""Previews of single scenes whose objects are chosen by rules over all scenes."""

import logging
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rrsis_geo.errors import InputError
from rrsis_geo.files import write_error
from rrsis_geo.geo.objects.features import Features
from rrsis_geo.geo.scene.options import open_part
from rrsis_geo.geo.scene.radiometry import measure_stretch
from rrsis_geo.segment.batch.job import BatchSettings
from rrsis_geo.segment.batch.tasks import SceneTask
from rrsis_geo.segment.results.layers import read_background
from rrsis_geo.segment.results.pictures import LayerPictures, problem_text, raise_unexpected

logger = logging.getLogger(__name__)


class ScenePreviews:
    """Draws the objects that rules chose in each scene, in place of its candidates.

    Objects come phrase by phrase, so a scene can come several times. Until all are known, those of
    each scene wait in a file of the job folder.
    """

    def __init__(self, tasks: Sequence[SceneTask], settings: BatchSettings) -> None:
        """No objects are known yet.

        Args:
            tasks: scenes that have a result.
            settings: of the batch.
        """
        self._tasks = {task.scene.file_name: task for task in tasks if task.outputs.preview}
        self._settings = settings
        for task in tasks:
            for number in range(len(settings.expressions)):
                _waiting(task, number).unlink(missing_ok=True)  # of a run that was killed

    def add(self, number: int, chosen: Features) -> None:
        """Add objects of one scene that the expression of this number means.

        Raises:
            OutputError: they cannot be written.
        """
        if chosen.scene not in self._tasks:
            return
        path = _waiting(self._tasks[chosen.scene], number)
        try:
            with path.open("ab") as file:
                pickle.dump(chosen, file)
        except OSError as err:
            raise write_error(path, err) from err

    def draw(self, numbers: Sequence[int]) -> None:
        """Replace the previews of the expressions of these numbers.

        A scene whose previews cannot be drawn keeps those of its candidates, with a warning.

        Raises:
            OutputError: a picture could not be written, for example to a full disk.
        """
        for task in self._tasks.values() if numbers else ():
            try:
                errors = list(self._draw_scene(task, numbers))
            except InputError as err:  # it was removed after it was segmented
                errors = [err]
            raise_unexpected(err for err in errors if not isinstance(err, InputError))
            for error in errors[:1]:
                logger.warning(
                    "%s: its preview shows all candidates, because it cannot be drawn again: %s",
                    task.scene.file_name,
                    problem_text(error),
                )

    def _draw_scene(self, task: SceneTask, numbers: Sequence[int]) -> Iterator[Exception]:
        """Draw the previews of one scene; gives what went wrong."""
        expressions = self._settings.expressions
        outputs = replace(task.outputs, overwrite=True).per_expression(expressions)
        with open_part(task.scene.path, self._settings.options.scene) as scene:
            background = read_background(scene.part, measure_stretch(scene.whole))
        for number in numbers:
            pictures = LayerPictures(outputs[number], expressions[number], background.new_painter)
            for batch in _read(_waiting(task, number)):
                pictures.add(batch)
            pictures.finish()
            yield from pictures.errors.values()


def _waiting(task: SceneTask, number: int) -> Path:
    """The file of chosen objects of one scene and expression."""
    return task.outputs.vector.with_suffix(f".chosen-{number}")


def _read(path: Path) -> Iterator[Features]:
    if path.exists():  # no object was chosen otherwise
        with path.open("rb") as file:
            while True:
                try:
                    yield pickle.load(file)
                except EOFError:
                    return
