"""Convert a gzip DynamoDB JSON export of the bench's orders to typed Parquet with another engine, its schema written by hand.

usage: peers.py ENGINE OUT FILE...   prints {"rows": N}
"""

import json
import sys

engine, out, files = sys.argv[1], sys.argv[2], sys.argv[3:]

if engine == "duckdb":
    import duckdb

    db = duckdb.connect()
    db.execute("SET threads=1")
    text = lambda name: f"{name} STRUCT(S VARCHAR)"
    number = lambda name: f"{name} STRUCT(N VARCHAR)"
    struct = (
        "STRUCT("
        + ", ".join(
            [
                text("orderId"), text("customerId"), text("createdAt"), number("updatedAt"), text("status"), text("region"), number("total"),
                "express STRUCT(BOOL BOOLEAN)",
                "address STRUCT(M STRUCT(" + ", ".join([text("street"), text("zip"), text("city")]) + "))",
                "lines STRUCT(L STRUCT(M STRUCT(" + ", ".join([text("sku"), number("qty"), number("price")]) + "))[])",
                "tags STRUCT(SS VARCHAR[])", text("note"), number("version"),
            ]
        )
        + ")"
    )
    rows = db.execute(
        f"""COPY (SELECT Item.orderId.S AS "orderId", Item.customerId.S AS "customerId", Item.createdAt.S AS "createdAt",
              CAST(Item.updatedAt.N AS BIGINT) AS "updatedAt", Item.status.S AS status, Item.region.S AS region,
              CAST(Item.total.N AS DECIMAL(18,2)) AS total, Item.express.BOOL AS express,
              {{'street': Item.address.M.street.S, 'zip': Item.address.M.zip.S, 'city': Item.address.M.city.S}} AS address,
              list_transform(Item.lines.L, lambda x: {{'sku': x.M.sku.S, 'qty': CAST(x.M.qty.N AS BIGINT), 'price': CAST(x.M.price.N AS DECIMAL(18,2))}}) AS lines,
              Item.tags.SS AS tags, Item.note.S AS note, CAST(Item.version.N AS BIGINT) AS version
            FROM read_json({files!r}, format='newline_delimited', columns={{Item: '{struct}'}}))
            TO '{out}' (FORMAT parquet, COMPRESSION zstd)"""
    ).fetchone()[0]
elif engine == "polars":
    import os

    os.environ["POLARS_MAX_THREADS"] = "1"
    import gzip

    import polars as pl

    s, n = pl.Struct({"S": pl.String}), pl.Struct({"N": pl.String})
    schema = {
        "Item": pl.Struct(
            {
                "orderId": s, "customerId": s, "createdAt": s, "updatedAt": n, "status": s, "region": s, "total": n,
                "express": pl.Struct({"BOOL": pl.Boolean}),
                "address": pl.Struct({"M": pl.Struct({"street": s, "zip": s, "city": s})}),
                "lines": pl.Struct({"L": pl.List(pl.Struct({"M": pl.Struct({"sku": s, "qty": n, "price": n})}))}),
                "tags": pl.Struct({"SS": pl.List(pl.String)}), "note": s, "version": n,
            }
        )
    }
    f = lambda *names: __import__("functools").reduce(lambda e, name: e.struct.field(name), names, pl.col("Item"))
    line = pl.element().struct.field("M")
    frames = [pl.read_ndjson(gzip.open(name), schema=schema) for name in files]
    frame = pl.concat(frames).select(
        f("orderId", "S").alias("orderId"), f("customerId", "S").alias("customerId"), f("createdAt", "S").alias("createdAt"),
        f("updatedAt", "N").cast(pl.Int64).alias("updatedAt"), f("status", "S").alias("status"), f("region", "S").alias("region"),
        f("total", "N").cast(pl.Decimal(18, 2)).alias("total"), f("express", "BOOL").alias("express"),
        pl.struct(f("address", "M", "street", "S").alias("street"), f("address", "M", "zip", "S").alias("zip"), f("address", "M", "city", "S").alias("city")).alias("address"),
        f("lines", "L").list.eval(
            pl.struct(
                line.struct.field("sku").struct.field("S").alias("sku"), line.struct.field("qty").struct.field("N").cast(pl.Int64).alias("qty"),
                line.struct.field("price").struct.field("N").cast(pl.Decimal(18, 2)).alias("price"),
            )
        ).alias("lines"),
        f("tags", "SS").alias("tags"), f("note", "S").alias("note"), f("version", "N").cast(pl.Int64).alias("version"),
    )
    frame.write_parquet(out, compression="zstd")
    rows = frame.height
else:
    sys.exit(f"no engine {engine}")
print(json.dumps({"rows": rows}))
