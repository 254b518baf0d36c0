#!/usr/bin/env python3
"""Writes a Parquet file with a writer of others, and beside it the items that the rules of docs/formats/parquet.md make of it.

usage: write.py WRITER FOLDER     WRITER is pyarrow, duckdb, polars or spark
"""
import datetime, decimal, json, os, sys

D, N = decimal.Decimal, 500
UTC = datetime.timezone.utc


def row(i):
    """Values that all four writers have, among them nulls at every level."""
    return {
        "id": f"k{i:04}",
        "long": i * 9007199254740993 % (1 << 62) - (1 << 61),
        "price": D(i * 1009).scaleb(-2),
        "exact": D(f"{i}1234567890123456789012345678").scaleb(-10),
        "ratio": i / 7,
        "yes": None if i % 5 == 0 else i % 2 == 0,
        "data": bytes([i % 256, 0, 255]),
        "text": None if i % 7 == 0 else "ß€😀"[: i % 4],
        "day": datetime.date(2024, 2, 29) + datetime.timedelta(days=i),
        "at": datetime.datetime(2024, 2, 29, 12, 0, 0, 123456 + i, tzinfo=UTC),
        "words": None if i % 11 == 0 else [None if n == 2 else f"w{n}" for n in range(i % 4)],
        "place": None if i % 13 == 0 else {"city": f"c{i}", "zip": None if i % 3 == 0 else i},
        "lines": [{"sku": f"s{n}", "price": D(n * 125).scaleb(-2)} for n in range(i % 3)],
    }


def typed(v):
    """Ours, by the table in section 4."""
    if v is None:
        return {"NULL": True}
    if isinstance(v, bool):
        return {"BOOL": v}
    if isinstance(v, int):
        return {"N": str(v)}
    if isinstance(v, D):
        return {"N": format(v, "f")}
    if isinstance(v, float):
        return {"N": repr(v)}
    if isinstance(v, bytes):
        import base64
        return {"B": base64.b64encode(v).decode()}
    if isinstance(v, datetime.datetime):
        return {"S": v.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"}
    if isinstance(v, datetime.date):
        return {"S": v.isoformat()}
    if isinstance(v, list):
        return {"L": [typed(e) for e in v]}
    if isinstance(v, dict):
        return {"M": {k: typed(e) for k, e in v.items() if e is not None}}
    return {"S": v}


def arrow():
    import pyarrow as pa
    schema = pa.schema([
        ("id", pa.string()), ("long", pa.int64()), ("price", pa.decimal128(18, 2)), ("exact", pa.decimal128(38, 10)), ("ratio", pa.float64()),
        ("yes", pa.bool_()), ("data", pa.binary()), ("text", pa.string()), ("day", pa.date32()), ("at", pa.timestamp("us", "UTC")),
        ("words", pa.list_(pa.string())), ("place", pa.struct([("city", pa.string()), ("zip", pa.int64())])),
        ("lines", pa.list_(pa.struct([("sku", pa.string()), ("price", pa.decimal128(10, 2))])))])
    return pa.Table.from_pylist([row(i) for i in range(N)], schema)


def pyarrow(name):
    import pyarrow.parquet as pq
    pq.write_table(arrow(), name, compression="brotli", data_page_version="2.0", row_group_size=100)


def duckdb(name):
    import duckdb
    rows = arrow()
    c = duckdb.connect()
    c.execute("SET TimeZone='UTC'")
    c.execute(f"COPY (SELECT * FROM rows) TO '{name}' (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2)")


def polars(name):
    import polars
    polars.from_arrow(arrow()).write_parquet(name, compression="lz4")


def spark(name):
    from pyspark.sql import SparkSession
    s = (SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").config("spark.sql.session.timeZone", "UTC")
         .config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1").getOrCreate())
    s.sparkContext.setLogLevel("ERROR")
    schema = ("id string, long bigint, price decimal(18,2), exact decimal(38,10), ratio double, yes boolean, data binary, text string, day date, "
              "at timestamp, words array<string>, place struct<city:string,zip:bigint>, lines array<struct<sku:string,price:decimal(10,2)>>")
    # INT96 timestamps are its default, in nanoseconds; here microseconds, as in the other three.
    s.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    s.createDataFrame([row(i) for i in range(N)], schema).coalesce(1).write.parquet(name)
    s.stop()


def main():
    writer, folder = sys.argv[1:]
    os.makedirs(folder)
    os.environ["TZ"] = "UTC"
    {"pyarrow": pyarrow, "duckdb": duckdb, "polars": polars, "spark": spark}[writer](f"{folder}/rows.parquet")
    with open(f"{folder}/expected.json", "w", encoding="utf-8") as f:
        for i in range(N):
            f.write(json.dumps({"Item": {k: typed(v) for k, v in row(i).items() if v is not None}}, ensure_ascii=False) + "\n")


main()
