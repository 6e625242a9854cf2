"""The smallest scripts of differences that were found and mended: name, startup, steps, as grammar.py describes them."""

CASES = [
    ("a message that never reaches the server may not come during COPY",
     {},
     [[("P", "", "COPY diff_t(v) FROM STDIN", ()), ("B", "", "", (), ()), ("H",)],
      [("E", "", 0), ("C", "S", "s1"), ("S",)]]),
    ("the portal of a BEGIN keeps its name",
     {},
     [[("P", "", "BEGIN", ()), ("B", "p1", "", (), ()), ("E", "p1", 0), ("S",)],
      [("P", "", "SELECT 1", ()), ("B", "p1", "", (), ()), ("D", "P", "p1"), ("E", "p1", 0), ("S",)]]),
]
