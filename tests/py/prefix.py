"""Adds up the first events of the Complete Journey purchases, in cents, and prints the sums as JSON.

The order is the demo's: baskets by time and number, each household's own event before its first basket.
"""

import json
import sys
from collections import defaultdict

import polars


def text(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def main() -> None:
    folder, events = sys.argv[1], int(sys.argv[2])
    lines = polars.read_parquet(f"{folder}/transactions.parquet").select(
        polars.col("household_id").cast(polars.Int64),
        polars.col("basket_id").cast(polars.Int64),
        polars.col("product_id").cast(polars.Int64),
        (polars.col("sales_value") * 100).round().cast(polars.Int64).alias("cents"),
        polars.col("transaction_timestamp").dt.epoch("us").alias("at"),
    )
    baskets = (
        lines.group_by("basket_id")
        .agg(polars.col("household_id").first(), polars.col("at").first())
        .sort("at", "basket_id")
    )
    households, chosen, count = set(), set(), 0
    for basket, household, _ in baskets.iter_rows():
        if household not in households:
            if count == events:
                break
            households.add(household)
            count += 1
        if count == events:
            break
        chosen.add(basket)
        count += 1
    if count != events:
        raise SystemExit(f"the data has only {count} events")

    total, products = 0, defaultdict(int)
    for basket, product, cents in lines.select("basket_id", "product_id", "cents").iter_rows():
        if basket in chosen:
            total += cents
            products[product] += cents
    top = sorted(products.items(), key=lambda item: (-item[1], str(item[0])))[:10]
    json.dump({"revenue": text(total), "top_products": [[str(product), text(cents)] for product, cents in top]}, sys.stdout)


if __name__ == "__main__":
    main()
