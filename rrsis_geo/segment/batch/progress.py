"""Progress of a batch, in windows of all scenes and in scenes."""

from collections.abc import Iterable, Mapping

from rrsis_geo.progress import Progress
from rrsis_geo.segment.batch.tasks import SceneTask


class BatchProgress:
    """Reports progress in windows of all scenes, and in scenes.

    Args:
        progress: called with progress.
        n_windows: number of windows of each scene, by its name.
        done: names of scenes that need not be segmented.
    """

    def __init__(
        self, progress: Progress, n_windows: Mapping[str, int], done: Iterable[str]
    ) -> None:
        self._progress, self._n_windows = progress, n_windows
        self._total = sum(n_windows.values())
        self._finished = {name for name in done if name in n_windows}
        self._windows_done = sum(n_windows[name] for name in self._finished)
        self._report()

    def of_scene(self, task: SceneTask) -> Progress:
        """The progress callback of one scene."""
        n_windows = self._n_windows[task.scene.name]

        def progress(stage: str, done: int, total: int) -> None:
            if stage == "windows" and total:
                windows_done = self._windows_done + n_windows * done // total
                self._progress("windows", windows_done, self._total)

        return progress

    def finish(self, task: SceneTask) -> None:
        """Count a scene as finished."""
        self._finished.add(task.scene.name)
        self._windows_done += self._n_windows[task.scene.name]
        self._report()

    def _report(self) -> None:
        self._progress("windows", self._windows_done, self._total)
        self._progress("scenes", len(self._finished), len(self._n_windows))
