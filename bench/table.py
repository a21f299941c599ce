"""The report of a bench: a table in Markdown."""


class Table:
    """Rows of the report, printed as they come."""

    def __init__(self) -> None:
        print("| Work | Longshore | Peer | Ratio | Target |\n|---|---|---|---|---|", flush=True)

    def row(self, work: str, ours: str, theirs: str, ratio: float | None, target: str) -> None:
        shown = "" if ratio is None else f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.0f}x"
        print(f"| {work} | {ours} | {theirs} | {shown} | {target} |", flush=True)
