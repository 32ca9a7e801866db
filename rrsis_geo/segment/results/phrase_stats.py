"""Statistics of expressions, from those of the phrases that the network was asked for."""

from collections.abc import Sequence
from dataclasses import replace

from rrsis_geo.segment.plan.plan import Plan
from rrsis_geo.segment.shards.failures import merge_failed
from rrsis_geo.segment.shards.shard_files import ShardStats

Score = tuple[int, int, float | None, float]


def expression_stats(plan: Plan, by_phrase: Sequence[ShardStats]) -> list[ShardStats]:
    """Statistics of each expression.

    Windows and their scores are those of the phrases that name the target. A window has failed if
    any phrase failed in it. The network's time for a phrase counts for the first expression that
    needs it.

    Args:
        plan: of the run.
        by_phrase: of each phrase of the plan.
    """
    by_name = dict(zip(plan.phrases, by_phrase, strict=True))
    counted: set[str] = set()
    found = []
    for query in plan.queries:
        targets = [by_name[phrase] for phrase in query.targets()]
        asked = [phrase for phrase in query.phrases() if phrase in by_name]
        seconds = sum(by_name[phrase].network_seconds for phrase in asked if phrase not in counted)
        counted |= set(asked)
        stats = replace(targets[0], network_seconds=seconds)
        for other in targets[1:]:
            stats.update_presence(other.presence_max)
            stats.update_pixel(other.pixel_max)
            stats.scores = _highest(stats.scores, other.scores)
        if not query.is_plain:
            failed = (window for phrase in asked for window in by_name[phrase].failed)
            stats.failed = list(merge_failed(failed))
        found.append(stats)
    return found


def _highest(first: Sequence[Score], second: Sequence[Score]) -> list[Score]:
    """The highest scores of each window that either has."""
    found = {(row_i, col_j): (presence, logit) for row_i, col_j, presence, logit in first}
    for row_i, col_j, presence, logit in second:
        known, highest = found.get((row_i, col_j), (presence, logit))
        presences = [each for each in (known, presence) if each is not None]
        found[row_i, col_j] = max(presences, default=None), max(highest, logit)
    return [(*place, *scores) for place, scores in sorted(found.items())]
