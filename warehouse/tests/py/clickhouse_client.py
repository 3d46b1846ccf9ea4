"""ClickHouse's own Python client against the HTTP interface: argv = port, writer's password, reader's password."""

import datetime
import decimal
import sys

import clickhouse_connect
from clickhouse_connect.driver.exceptions import DatabaseError

port, writer_password, reader_password = int(sys.argv[1]), sys.argv[2], sys.argv[3]


def connect(user, password, **options):
    return clickhouse_connect.get_client(host="127.0.0.1", port=port, username=user, password=password, **options)


def refused(call, code):
    try:
        call()
    except DatabaseError as error:
        assert f"error code {code}" in str(error) or f"Code: {code}" in str(error), error
    else:
        raise AssertionError(f"not refused with {code}")


writer = connect("writer", writer_password)
writer.command("CREATE DATABASE IF NOT EXISTS py")
writer.command(
    "CREATE TABLE py.rows (id UInt64, name String, amount Decimal(38, 6), at DateTime64(6, 'UTC'), "
    "tags Array(String), note Nullable(String)) ENGINE = MergeTree ORDER BY id"
)
when = datetime.datetime(2026, 3, 1, 12, 30, 0, 123456, tzinfo=datetime.timezone.utc)
rows = [
    [1, "it's \\ a\ttab\nжд 🙂", decimal.Decimal("999999999999999.999999"), when, ["a", "b'c"], None],
    [2, "", decimal.Decimal("-0.000001"), when, [], "x"],
]
names = ["id", "name", "amount", "at", "tags", "note"]
summary = writer.insert("rows", rows, column_names=names, database="py")
assert summary.written_rows == 2, summary.summary

found = writer.query("SELECT * FROM py.rows ORDER BY id")
assert found.column_names == tuple(names), found.column_names
for given, answered in zip(rows, found.result_rows):
    answered = list(answered)
    if answered[3].tzinfo is None:
        answered[3] = answered[3].replace(tzinfo=datetime.timezone.utc)
    assert answered == given, (answered, given)

# Parameters, in the URL and in a form.
sql = "SELECT id FROM py.rows WHERE name = {name:String} AND has({ids:Array(UInt64)}, id)"
values = {"name": rows[0][1], "ids": [1, 2, 3]}
assert writer.query(sql, parameters=values).result_rows == [(1,)]
forms = connect("writer", writer_password, form_encode_query_params=True)
assert forms.query(sql, parameters=values).result_rows == [(1,)]
injection = {"name": "' OR 1 = 1; DROP TABLE py.rows; --", "ids": [1]}
assert writer.query(sql, parameters=injection).result_rows == []

# Settings hold for one query.
assert writer.query("SELECT getSetting('max_threads')", settings={"max_threads": 1}).result_rows == [(1,)]

# Many rows, in every compression the client knows, and as Arrow.
for compression in ["lz4", "zstd", "gzip", False]:
    client = connect("writer", writer_password, compress=compression)
    answer = client.query("SELECT number, toString(number) FROM numbers(300000)")
    assert answer.row_count == 300000, (compression, answer.row_count)
    assert answer.result_rows[-1] == (299999, "299999")
    client.insert("rows", [[10, "compressed", decimal.Decimal(1), when, [], None]] * 5000, column_names=names, database="py")
table = writer.query_arrow("SELECT id, amount FROM py.rows WHERE id < 10 ORDER BY id")
assert table.num_rows == 2 and table.column("id").to_pylist() == [1, 2]
with writer.query_row_block_stream("SELECT number FROM numbers(1000000)") as stream:
    assert sum(len(block) for block in stream) == 1000000
assert writer.query("SELECT 1 WHERE 0").result_rows == []
assert writer.raw_query("SELECT 1 AS x", fmt="JSONEachRow") == b'{"x":1}\n'
assert writer.command("SELECT count() FROM py.rows") == 20002

refused(lambda: writer.query("SELECT * FROM py.no_such_table"), 60)
refused(lambda: writer.query("SELEC 1"), 62)
refused(lambda: connect("writer", "wrong"), 516)
refused(lambda: writer.query("SELECT throwIf(number = 900000) FROM numbers(1000000)"), 395)

reader = connect("reader", reader_password)
assert reader.query("SELECT count() FROM py.rows").result_rows == [(20002,)]
for statement in [
    "INSERT INTO py.rows (id) VALUES (3)",
    "DROP TABLE py.rows",
    "CREATE TABLE py.more (id UInt64) ENGINE = Memory",
    "ALTER TABLE py.rows DELETE WHERE 1",
]:
    refused(lambda: reader.command(statement), 164)
assert reader.query("SELECT count() FROM py.rows").result_rows == [(20002,)]
print("passed")
