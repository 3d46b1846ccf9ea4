"""Reads the archive of a running Millrace with three independent readers and prints what each found, as JSON."""

import json
import os
import sys

import deltalake
import duckdb
import polars
import pyarrow
import pyarrow.compute as pc

MARCH = "2025-03"


def by_deltalake(rows: pyarrow.Table) -> dict:
    return {
        "rows": rows.num_rows,
        "amount": str(pc.sum(rows["amount"]).as_py()),
        "purchases": rows.filter(pc.equal(rows["kind"], "purchase")).num_rows,
        "items": pc.sum(pc.list_value_length(rows["items"])).as_py(),
        "march": rows.filter(pc.equal(rows["month"], MARCH)).num_rows,
    }


def by_polars(path: str) -> dict:
    events = polars.scan_delta(path)
    found = events.select(
        rows=polars.len(),
        amount=polars.col("amount").sum(),
        purchases=(polars.col("kind") == "purchase").sum(),
        items=polars.col("items").list.len().sum(),
        march=(polars.col("month") == MARCH).sum(),
    ).collect()
    return {name: str(value) if name == "amount" else value for name, value in found.row(0, named=True).items()}


def by_duckdb(table: deltalake.DeltaTable) -> dict:
    # DuckDB's own Delta reader is an extension that is not on PyPI: it reads the table's Parquet files.
    query = (
        "SELECT count(*), sum(amount), count(*) FILTER (kind = 'purchase'), sum(len(items)), "
        "count(*) FILTER (month = $month) "
        "FROM read_parquet($files, hive_partitioning = true, hive_types = {'month': VARCHAR})"
    )
    parameters = {"files": table.file_uris(), "month": MARCH}
    rows, amount, purchases, items, march = duckdb.connect().execute(query, parameters).fetchone()
    return {"rows": rows, "amount": str(amount), "purchases": purchases, "items": int(items), "march": march}


def main() -> None:
    path = sys.argv[1]
    table = deltalake.DeltaTable(path)
    rows = table.to_pyarrow_table()
    purchases = rows.filter(pc.equal(rows["kind"], "purchase"))
    found = {
        "readers": {
            "deltalake": by_deltalake(rows),
            "polars": by_polars(path),
            "duckdb": by_duckdb(table),
        },
        "columns": {field.name: str(field.type) for field in rows.schema},
        "item": [field.name for field in rows.schema.field("items").type.value_type],
        "partitions": table.metadata().partition_columns,
        "attributes": purchases["attributes"][0].as_py(),
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    # The readers' threads now and then abort an interpreter that ends in its own time, after everything is printed.
    os._exit(0)
