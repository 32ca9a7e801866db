"""Print Markdown tables row by row, so that a long measurement shows each row at once."""


def format_score(score: float | None, decimals: int = 3) -> str:
    """A score for a cell, "" if it is None because no sample defines it."""
    return "" if score is None else f"{score:.{decimals}f}"


def print_header(*columns: str) -> None:
    print_row(*columns)
    print("|" + "---|" * len(columns), flush=True)


def print_row(*cells: object) -> None:
    print(f"| {' | '.join(map(str, cells))} |", flush=True)
