"""One exploration: an open scene, a model that is loaded once, and the sentences of the user.

Searches run one after another in a thread. Everything else runs in the threads of the server.
"""

import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import shapely
from shapely.geometry.base import BaseGeometry

from rrsis_geo.errors import InputError, RrsisError
from rrsis_geo.explore.search import SearchStopped, Watcher, missing_window, search
from rrsis_geo.explore.sentence import Sentence
from rrsis_geo.explore.tiles import Tiles
from rrsis_geo.geo.scene.options import crop_scene, open_part
from rrsis_geo.geo.scene.pixels import PixelReader
from rrsis_geo.geo.scene.radiometry import measure_stretch
from rrsis_geo.geo.scene.scene import Scene
from rrsis_geo.geo.scene.sources import reopen
from rrsis_geo.model.facts import ModelFacts
from rrsis_geo.segment.plan.advice import advise_before_run
from rrsis_geo.segment.plan.expressions import clean_expression
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.plan import Plan, make_plan
from rrsis_geo.segment.plan.predictor import WindowPredictor
from rrsis_geo.segment.results.meant import check_metres

READING_SHARE = 10
"""During a search, objects are read again after this many times the duration of a reading, so that
a large scene is searched at most a tenth slower."""
JOIN_SECONDS = 30.0


class Search(NamedTuple):
    """A search that waits or runs.

    Attributes:
        sentence: what to find.
        view: where, in pixels of the scene.
        stop: set it to stop the search.
    """

    sentence: Sentence
    view: BaseGeometry
    stop: threading.Event


class Model(NamedTuple):
    """A model to load: what is known of it before, and the function that loads it."""

    facts: ModelFacts
    load: Callable[[], WindowPredictor]


class Session:
    """An exploration of one scene. Use as a context manager.

    Attributes:
        plan: of the scene for any sentence: its grid, stretch, model and options.
        tiles: the scene as a map.
        sentences: by number.
        running: the search that runs, or None.
        windows: number of its windows that are done, and their total.
        seconds_per_window: as measured in this session; None before the first search.
        model_error: why the model could not be loaded, "" if it could.
        is_model_loaded: whether it is.
    """

    def __init__(
        self, map_scene: Scene, search_scene: Scene, plan: Plan, folder: Path, model: Model
    ) -> None:
        """Nothing is loaded yet: the context loads the model in a thread.

        Args:
            map_scene: what is explored, for the map.
            search_scene: the same, opened again for the searches.
            plan: of it, for any sentence.
            folder: existing folder for temporary files.
            model: to find objects with.
        """
        self.plan = plan
        self.tiles = Tiles(map_scene, plan.stretch)
        self.sentences: dict[int, Sentence] = {}
        self.running: Search | None = None
        self.windows = (0, 0)
        self.seconds_per_window: float | None = None
        self.model_error = ""
        self.is_model_loaded = False
        self._scene = search_scene
        self._folder = folder
        self._model = model
        self._waiting: queue.Queue[Search | None] = queue.Queue()
        self._changing = threading.Lock()
        self._n_sentences = 0
        self._thread = threading.Thread(target=self._run, name="search", daemon=True)

    def __enter__(self) -> "Session":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        self._waiting.put(None)
        self._thread.join(JOIN_SECONDS)

    @property
    def is_busy(self) -> bool:
        """Whether a search runs or waits, or the model is being loaded."""
        is_waiting = not self.is_model_loaded or self._waiting.unfinished_tasks > 0
        return is_waiting and not self.model_error

    @property
    def n_waiting(self) -> int:
        """Number of searches that wait."""
        return self._waiting.qsize()

    def find(self, text: str, view: BaseGeometry | None) -> Sentence:
        """Search for a sentence, after the searches that were asked for before.

        Args:
            text: the sentence.
            view: where, in pixels of the scene; None is the whole scene.

        Raises:
            InputError: the sentence is not understood, or the model could not be loaded.
            ConfigError: a rule of it needs metres on the ground, and the scene has no CRS.
        """
        if self.model_error or not self._thread.is_alive():
            raise InputError(self.model_error or "the search has ended; see the terminal")
        expression = clean_expression(text)
        for query in self._plan_of(expression, self.plan.model).queries:
            check_metres(query, self.plan.scene)
        height, width = self.plan.scene.shape
        with self._changing:
            known = (each for each in self.sentences.values() if each.expression == expression)
            sentence = next(known, None) or self._add_sentence(expression)
        sentence.error = ""
        view = shapely.box(0, 0, width, height) if view is None else view
        self._waiting.put(Search(sentence, view, threading.Event()))
        return sentence

    def stop(self) -> None:
        """Stop the search that runs, and forget those that wait. What is completed is kept."""
        with suppress(queue.Empty):
            while True:
                self._waiting.get_nowait()
                self._waiting.task_done()
        if (running := self.running) is not None:
            running.stop.set()

    def remove(self, number: int) -> None:
        """Remove a sentence and its probabilities."""
        if (running := self.running) is not None and running.sentence.number == number:
            running.stop.set()
        with self._changing:
            sentence = self.sentences.pop(number, None)
        if sentence is not None:
            shutil.rmtree(sentence.folder, ignore_errors=True)

    def _add_sentence(self, expression: str) -> Sentence:
        number = self._n_sentences
        folder = self._folder / f"sentence-{number}"
        folder.mkdir()
        self.sentences[number] = sentence = Sentence(number, expression, folder)
        self._n_sentences += 1
        return sentence

    def _plan_of(self, expression: str, model: ModelFacts) -> Plan:
        plan = self.plan
        return make_plan(plan.scene, (expression,), model, plan.options, plan.stretch)

    def _run(self) -> None:
        """Load the model, then run searches until the session ends."""
        try:
            predictor = self._model.load()
        except RrsisError as err:
            self.model_error = str(err)
            return
        self.is_model_loaded = True
        while (each := self._waiting.get()) is not None:
            self.windows, self.running = (0, 0), each
            try:
                if each.sentence.number in self.sentences:
                    self._search(each, predictor)
            except SearchStopped:
                pass
            except RrsisError as err:
                each.sentence.error = str(err)
            finally:
                self.running = None
                self._waiting.task_done()

    def _search(self, running: Search, predictor: WindowPredictor) -> None:
        sentence = running.sentence
        plan = sentence.prepare(self._plan_of(sentence.expression, predictor.facts))
        window = missing_window(plan, running.view, sentence.searched)
        if window is None:
            return
        messages = [*sentence.messages, *advise_before_run(plan, predictor)]
        watcher = Watcher(
            progress=_Clock(self),
            area_added=_Reader(sentence),
            stop=running.stop.is_set,
        )
        try:
            messages += search(self._scene, sentence, window, predictor, watcher)
        finally:
            sentence.messages = tuple(dict.fromkeys(messages))
            if sentence.number in self.sentences:
                sentence.read(running.view)


class _Clock:
    """Keeps the progress of a search, and measures the time of a window."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._started = time.perf_counter()

    def __call__(self, done: int, total: int) -> None:
        self._session.windows = done, total
        if done:
            self._session.seconds_per_window = (time.perf_counter() - self._started) / done


class _Reader:
    """Reads the objects of a sentence from time to time, while it is searched for."""

    def __init__(self, sentence: Sentence) -> None:
        self._sentence = sentence
        self._next_reading = 0.0

    def __call__(self) -> None:
        started = time.perf_counter()
        if started >= self._next_reading:
            self._sentence.read()
            ended = time.perf_counter()
            self._next_reading = ended + READING_SHARE * (ended - started)


@contextmanager
def open_session(path: str | Path, options: SegmentOptions, model: Model) -> Iterator[Session]:
    """Open a scene to explore it. Temporary files are removed at the end.

    Args:
        path: any raster that GDAL opens.
        options: of `segment`.
        model: to find objects with.

    Raises:
        ConfigError: an option does not fit the scene or the model.
        InputError: the scene cannot be used.
    """
    with open_part(path, options.scene) as (whole, part):
        stretch = measure_stretch(whole)
        plan = make_plan(part.info, ("objects",), model.facts, options, stretch)
        again = reopen(whole.reader.dataset, str(path))
        with (
            Scene(whole.info, PixelReader(again, whole.reader.plan, str(path))) as second,
            TemporaryDirectory(prefix="rrsis-geo-", ignore_cleanup_errors=True) as folder,
            Session(part, crop_scene(second, options.scene), plan, Path(folder), model) as session,
        ):
            yield session
