"""Prints the rows of the archive as JSON: {"rows": "partition TAB offset TAB customer TAB event id TAB amount"}, one a line."""

import json
import os
import sys

import deltalake


def main() -> None:
    names = ["partition", "offset", "customer_id", "event_id", "amount"]
    table = deltalake.DeltaTable(sys.argv[1]).to_pyarrow_table(columns=names)
    columns = [table[name].to_pylist() for name in names]
    lines = ["\t".join(("0" if cell is None else str(cell)) for cell in row) for row in zip(*columns)]
    json.dump({"rows": "\n".join(lines)}, sys.stdout)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    # The readers' threads now and then abort an interpreter that ends in its own time, after everything is printed.
    os._exit(0)
