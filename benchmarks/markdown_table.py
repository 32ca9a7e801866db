"""Print Markdown tables row by row, so that a long measurement shows each row at once."""


def print_header(*columns: str) -> None:
    print_row(*columns)
    print("|" + "---|" * len(columns), flush=True)


def print_row(*cells: object) -> None:
    print(f"| {' | '.join(map(str, cells))} |", flush=True)
