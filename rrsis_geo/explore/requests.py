"""What the page can ask for, by the name in the address: GET asks, POST changes something."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from rrsis_geo.errors import InputError
from rrsis_geo.explore.answers import list_answer, scene_answer, shapes_answer, state_answer
from rrsis_geo.explore.save import save
from rrsis_geo.explore.sentence import Sentence
from rrsis_geo.explore.session import Session

Values = Mapping[str, Any]
"""Of a request: from its address or its JSON."""
Work = Callable[[Session, Values], dict[str, Any]]


def _list(session: Session, values: Values) -> dict[str, Any]:
    return list_answer(_sentence(session, values))


def _shapes(session: Session, values: Values) -> dict[str, Any]:
    view = _view(values["view"].split(","))
    return shapes_answer(_sentence(session, values), view, _number(values["screen_px"]))


def _find(session: Session, values: Values) -> dict[str, Any]:
    view = None if values["view"] is None else _view(values["view"])
    sentence = session.find(str(values["text"]), view)
    return {"number": sentence.number, "state": state_answer(session)}


def _stop(session: Session, values: Values) -> dict[str, Any]:
    session.stop()
    return state_answer(session)


def _set_limits(session: Session, values: Values) -> dict[str, Any]:
    sentence, min_area_m2 = _sentence(session, values), values["min_area_m2"]
    sentence.set_limits(
        _number(values["threshold"]), None if min_area_m2 is None else _number(min_area_m2)
    )
    sentence.read(_view(values["view"]))
    return state_answer(session)


def _drop(session: Session, values: Values) -> dict[str, Any]:
    _sentence(session, values).drop(
        int(_number(values["id"])),
        found_number=int(_number(values["found_number"])),
        dropped=bool(values["dropped"]),
    )
    return state_answer(session)


def _remove(session: Session, values: Values) -> dict[str, Any]:
    session.remove(_sentence(session, values).number)
    return state_answer(session)


def _save(session: Session, values: Values) -> dict[str, Any]:
    path = Path(str(values["path"]).strip()).expanduser()
    n_objects = save(session, path, overwrite=bool(values["overwrite"]))
    return {"path": str(path.absolute()), "n_objects": n_objects}


GET: Mapping[str, Work] = {
    "scene": lambda session, values: scene_answer(session),
    "state": lambda session, values: state_answer(session),
    "list": _list,
    "shapes": _shapes,
}
POST: Mapping[str, Work] = {
    "find": _find,
    "stop": _stop,
    "limits": _set_limits,
    "drop": _drop,
    "remove": _remove,
    "save": _save,
}


def answer(session: Session, work: Work, values: Values) -> dict[str, Any]:
    """Answer a request.

    Raises:
        InputError: a value is missing or has another type.
        RrsisError: the request cannot be carried out.
    """
    try:
        return work(session, values)
    except KeyError as err:
        raise InputError(f"the request has no {err}") from err


def _sentence(session: Session, values: Values) -> Sentence:
    number = int(_number(values["number"]))
    sentence = session.sentences.get(number)
    if sentence is None:
        raise InputError("this sentence was removed")
    return sentence


def _view(values: Any) -> BaseGeometry:
    """A rectangle from left, top, right and bottom."""
    numbers = [_number(value) for value in values] if isinstance(values, list) else []
    if len(numbers) != 4 or numbers[0] >= numbers[2] or numbers[1] >= numbers[3]:
        raise InputError(f"a view has a left, top, right and bottom, got {values}")
    left, top, right, bottom = numbers
    view: BaseGeometry = shapely.box(left, top, right, bottom)
    return view


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"a number is expected, got {value}")
    return number
