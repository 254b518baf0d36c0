#!/usr/bin/env python3
"""Reads Parquet files of ours with a reader of others and compares every value with the items that went in.

usage: judge.py READER FOLDER ITEMS SCHEMA [CHDB]

READER is duckdb, pyarrow, polars, spark or chdb; or schema, which looks that all files have one schema and leaves it in SCHEMA.
ITEMS are the lines of DynamoDB JSON that were imported. An item is rebuilt from its row by docs/formats/columns.md alone: null
is absent, _extra lies over the rest. Exit code 1 and the first differences when any item differs.
"""
import base64, decimal, glob, json, os, subprocess, sys

decimal.getcontext().prec = 400
MISSING = object()


def files(folder):
    found = sorted(f for f in glob.glob(folder + "/**/*.parquet", recursive=True) if "/_" not in f[len(folder):])
    assert found, folder
    return found


def keep_schema(folder, name):
    import pyarrow.parquet as pq
    seen, ours = set(), set()
    for f in files(folder):
        schema = pq.read_schema(f)
        ours.add(schema.metadata[b"dynaferry.schema"].replace(b',"spilled":true', b""))  # that differs by run
        seen.add(str(schema.remove_metadata()))
    assert len(seen) == 1 and len(ours) == 1, f"{len(seen)} schemas"
    with open(name, "wb") as f:
        f.write(ours.pop())
    print(f"{len(files(folder))} files of one schema")


# What each reader makes of the files: a list of rows, and count, sum(total), sum of the lengths of lines when it has them.

SUMS = "count(*), sum(total), sum({length}(lines))"


def duckdb(folder, uniform):
    import duckdb
    c = duckdb.connect()
    c.execute("SET threads=2")
    scan = "FROM read_parquet(?, hive_partitioning=true, hive_types_autocast=false)"
    cur = c.execute("SELECT * " + scan, [files(folder)])
    names = [d[0] for d in cur.description]
    rows = [dict(zip(names, r)) for r in cur.fetchall()]
    return rows, uniform and c.execute(f"SELECT {SUMS.format(length='len')} " + scan, [files(folder)]).fetchone()


def pyarrow(folder, uniform):
    import pyarrow.compute as pc, pyarrow.dataset as ds
    table = ds.dataset(folder, format="parquet", partitioning="hive").to_table()
    sums = uniform and (table.num_rows, pc.sum(table["total"]).as_py(), pc.sum(pc.list_value_length(table["lines"])).as_py())
    return table.to_pylist(), sums


def polars(folder, uniform):
    import polars as pl
    frame = pl.scan_parquet(files(folder), hive_partitioning=any("=" in f[len(folder):] for f in files(folder)), try_parse_hive_dates=False)
    sums = uniform and frame.select(pl.len(), pl.col("total").sum(), pl.col("lines").list.len().sum().cast(pl.Int64)).collect().row(0)
    return frame.collect().to_dicts(), sums


def spark(folder, uniform):
    from pyspark.sql import SparkSession
    s = (SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").config("spark.sql.shuffle.partitions", "2")
         .config("spark.driver.memory", "1g").config("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
         .config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1").getOrCreate())
    s.sparkContext.setLogLevel("ERROR")
    df = s.read.option("basePath", folder).parquet(*files(folder))
    for f in files(folder)[:8]:
        own = s.read.parquet(f).schema
        assert own.fields == df.schema.fields[:len(own.fields)], f
    sums = None
    if uniform:
        plan = df._jdf.queryExecution().executedPlan().toString()
        assert "ColumnarToRow" in plan and "Batched: true" in plan, plan
        total, lines = df.schema["total"].dataType.simpleString(), df.schema["lines"].dataType.simpleString()
        assert total.startswith("decimal(") and lines.startswith("array<struct<"), (total, lines)
        part = df.select("total", "lines.price")._jdf.queryExecution().executedPlan().toString()
        assert "Batched: true" in part and "ReadSchema: struct<" in part, part
        print("vectorized, with", total, "and", lines)
        sums = tuple(df.selectExpr("count(*)", "sum(total)", "sum(size(lines))").first())
    rows = [r.asDict(recursive=True) for r in df.collect()]
    s.stop()
    return rows, sums


def chdb(folder, uniform):
    script = r"""
const { query } = require(process.argv[1]);
const from = " FROM file('" + process.argv[2] + "/**/*.parquet', Parquet) SETTINGS output_format_json_quote_decimals=1, " +
  "output_format_json_quote_64bit_integers=1, schema_inference_make_columns_nullable=1, use_hive_partitioning=1, output_format_json_named_tuples_as_objects=1";
process.stdout.write(query("SELECT *" + from, "JSONEachRow"));
if (process.argv[3]) process.stdout.write("SUMS " + query("SELECT count(*), sum(total), sum(length(lines))" + from, "TabSeparated"));
"""
    parent, base = os.path.split(folder)  # it opens only what lies below its working directory
    run = subprocess.run(["node", "-e", script, sys.argv[5], base, "yes" if uniform else ""], cwd=parent, capture_output=True)
    if run.returncode:
        sys.exit(run.stderr.decode()[-3000:])
    text, _, sums = run.stdout.decode("utf-8", "replace").partition("SUMS ")
    rows = [json.loads(line) for line in text.split("\n") if line]
    return rows, uniform and tuple(decimal.Decimal(x) for x in sums.split())


READERS = {"duckdb": duckdb, "pyarrow": pyarrow, "polars": polars, "spark": spark, "chdb": chdb}


# Items in a plain form: text, Decimal, bytes, bool, None, list, dict; sets are ("set", sorted members).

def plain(v):
    (kind, x), = v.items()
    if kind == "N":
        return decimal.Decimal(x)
    if kind == "B":
        return base64.b64decode(x)
    if kind == "NULL":
        return None
    if kind == "L":
        return [plain(e) for e in x]
    if kind == "M":
        return {k: plain(e) for k, e in x.items()}
    if kind in ("SS", "NS", "BS"):
        return members([plain({kind[0]: e}) for e in x])
    return x


class Set(list):
    """Members still in the order of the column, where _extra finds them by index."""


def members(values):
    return ("set", sorted(values))


def settle(v):
    if isinstance(v, Set):
        return members(v)
    if isinstance(v, list):
        return [settle(x) for x in v]
    return {k: settle(x) for k, x in v.items()} if isinstance(v, dict) else v


def rebuild(column, v):
    if v is None:
        return MISSING
    kind = column["kind"]
    if kind == "struct":
        out = {}
        for f in column["fields"]:
            x = rebuild(f, v.get(f["name"]))
            if x is not MISSING:
                out[f.get("attribute", f["name"])] = x
        return out
    if kind == "list":
        values = [None if (x := rebuild(column["element"], e)) is MISSING else x for e in v]
        return values if column.get("type", "L") == "L" else Set(values)
    if kind == "json":
        return plain(json.loads(v))
    if kind == "long" or kind.startswith("decimal"):
        return decimal.Decimal(str(v))
    if kind == "binary":
        return bytes(v) if not isinstance(v, str) else v
    if kind == "bool":
        return bool(v)
    assert kind == "text", kind
    return v


def overlay(item, extra):
    for pointer, value in json.loads(extra).items():
        steps = [s.replace("~1", "/").replace("~0", "~") for s in pointer.split("/")[1:]]
        at = item
        for s in steps[:-1]:
            at = at[int(s)] if isinstance(at, list) else at[s]
        if isinstance(at, list):
            at[int(steps[-1])] = plain(value)
        else:
            at[steps[-1]] = plain(value)
    return item


def holds_bytes(v):
    return isinstance(v, bytes) or isinstance(v, (list, tuple)) and any(map(holds_bytes, v)) or isinstance(v, dict) and any(map(holds_bytes, v.values()))


def loose(v):
    """ClickHouse has no null arrays and tuples, and JSON no bytes: what these cannot tell is left out on both sides."""
    if isinstance(v, dict):
        kept = {k: loose(x) for k, x in v.items()}
        return {k: x for k, x in kept.items() if x not in (None, {}, [])}
    if isinstance(v, list):
        return [loose(x) for x in v]
    if isinstance(v, tuple):
        return [loose(x) for x in v[1]]
    return v


def main():
    reader, folder, items, schema = sys.argv[1:5]
    if reader == "schema":
        return keep_schema(folder, schema)
    columns = json.load(open(schema))["columns"]
    expected = {}
    with open(items, encoding="utf-8") as f:
        for line in f:
            item = plain({"M": json.loads(line)["Item"]})
            expected[item[key]] = item if (key := next(k for k in ("pk", "orderId") if k in item)) else None
    uniform = key == "orderId"
    rows, sums = READERS[reader](folder, uniform)
    if uniform:
        want = (len(expected), sum(i["total"] for i in expected.values()), sum(len(i["lines"]) for i in expected.values()))
        assert tuple(decimal.Decimal(str(x)) for x in sums) == want, (sums, want)
    assert len(rows) == len(expected), (len(rows), len(expected))
    attribute = {c["name"]: c.get("attribute", c["name"]) for c in columns}
    bad = 0
    for row in rows:
        got = {}
        for c in columns:
            x = rebuild(c, row.get(c["name"]))
            if x is not MISSING:
                got[attribute[c["name"]]] = x
        if row.get("_extra"):
            overlay(got, row["_extra"])
        got = settle(got)
        for name, v in row.items():  # partition columns that are attributes
            if name not in attribute and name != "_extra" and v is not None and name in expected[got[key]]:
                got[name] = v
        want = expected.pop(got[key])
        if reader == "chdb":
            binary = {k for k, v in want.items() if holds_bytes(v)}  # which came as text of whatever letters
            got, want = ({k: v for k, v in loose(x).items() if k not in binary} for x in (got, want))
        if got != want:
            names = [k for k in {**got, **want} if got.get(k, MISSING) != want.get(k, MISSING)]
            print(key, got[key], *(f"\n  {k}\n    got  {str(got.get(k))[:300]}\n    want {str(want.get(k))[:300]}" for k in names[:3]))
            if (bad := bad + 1) == 5:
                break
    if bad or expected:
        sys.exit(f"{reader}: {bad} items differ, {len(expected)} not seen")
    print(f"{reader}: {len(rows)} items equal, {len(columns)} columns, {len(files(folder))} files" + (f", sums {', '.join(map(str, sums))}" if sums else ""))


main()
