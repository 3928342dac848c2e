"""How a ratio is printed."""

import statistics


def show(name: str, values: list[float], goal: str) -> None:
    """Prints the median of the rounds' ratios, their range, and the goal."""
    spread = f"{min(values):.2f}–{max(values):.2f} in {len(values)} rounds"
    print(f"{name}: {statistics.median(values):.2f} ({spread}; goal: {goal})")
