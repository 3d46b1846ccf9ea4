"""Reads a Delta table of events with three independent readers and prints what each found, as JSON."""

import json
import os
import sys
from decimal import Decimal

import deltalake
import duckdb
import polars
import pyarrow.compute as pc


def millionths(amount: Decimal) -> str:
    return str(int(amount.scaleb(6)))


def by_deltalake(table: deltalake.DeltaTable) -> dict:
    rows = table.to_pyarrow_table()
    return {
        "rows": rows.num_rows,
        "amount_millionths": millionths(pc.sum(rows["amount"]).as_py()),
        "purchases": rows.filter(pc.equal(rows["kind"], "purchase")).num_rows,
        "items": pc.sum(pc.list_value_length(rows["items"])).as_py(),
        "first": pc.min(rows["occurred_at"]).as_py().isoformat(),
        "partitions": table.metadata().partition_columns,
    }


def by_polars(path: str) -> dict:
    events = polars.scan_delta(path)
    found = events.select(
        rows=polars.len(),
        amount=polars.col("amount").sum(),
        purchases=(polars.col("kind") == "purchase").sum(),
        items=polars.col("items").list.len().sum(),
        first=polars.col("occurred_at").min(),
    ).collect()
    rows, amount, purchases, items, first = found.row(0)
    return {
        "rows": rows,
        "amount_millionths": millionths(amount),
        "purchases": purchases,
        "items": items,
        "first": first.isoformat(),
    }


def by_duckdb(table: deltalake.DeltaTable) -> dict:
    # DuckDB's own Delta reader is an extension that is not on PyPI: it reads the table's Parquet files.
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    rows, amount, purchases, items, first = connection.execute(
        "SELECT count(*), sum(amount), count(*) FILTER (kind = 'purchase'), sum(len(items)),"
        " strftime(min(occurred_at), '%Y-%m-%dT%H:%M:%S+00:00')"
        " FROM read_parquet($files, hive_partitioning = true)",
        {"files": table.file_uris()},
    ).fetchone()
    return {
        "rows": rows,
        "amount_millionths": millionths(amount),
        "purchases": purchases,
        "items": int(items),
        "first": first,
    }


def main() -> None:
    path = sys.argv[1]
    table = deltalake.DeltaTable(path)
    found = {
        "deltalake": by_deltalake(table),
        "polars": by_polars(path),
        "duckdb": by_duckdb(table),
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    # The readers' threads now and then abort an interpreter that ends in its own time, after everything is printed.
    os._exit(0)
