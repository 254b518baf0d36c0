#!/usr/bin/env python3
"""Reads Parquet files with DuckDB, pyarrow and polars and says what each saw.

usage: parquet_read.py [--readers duckdb,pyarrow,polars] FILE...

Prints one JSON object: {file: {reader: {"rows", "schema", "columns": {name: {"values", "sum", "digest"}}}, "index": ...}}.
"digest" is a SHA-256 over the column's values in file order, in a form common to all readers (decimals and floats as
shortest text, bytes as hex, dates and times in ISO form, structs with sorted names), so equal digests mean equal
values, nested ones too. "index" is what pyarrow reports of the page index, statistics, encodings and codecs.
Exit code 1 when two readers disagree on a file, or a reader fails.
"""
import argparse, datetime, decimal, hashlib, json, sys


def canonical(v):
    if isinstance(v, dict):
        return {k: canonical(v[k]) for k in sorted(v)}
    if isinstance(v, (list, tuple)):
        return [canonical(x) for x in v]
    if isinstance(v, decimal.Decimal):
        text = format(v, "f")
        if "." in text:
            text = text.rstrip("0").rstrip(".")
        return "0" if text in ("-0", "") else text
    if isinstance(v, (bytes, bytearray, memoryview)):
        return "0x" + bytes(v).hex()
    if isinstance(v, datetime.datetime):
        if v.tzinfo is not None:
            v = v.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        return v.isoformat(timespec="microseconds")
    if isinstance(v, (datetime.date, datetime.time)):
        return v.isoformat()
    if isinstance(v, float):
        return repr(v)
    return v


def total(values):
    """The sum of all numbers at any depth, exact where the numbers are."""
    sum_, seen = decimal.Decimal(0), False
    stack = list(values)
    while stack:
        v = stack.pop()
        if isinstance(v, dict):
            stack.extend(v.values())
        elif isinstance(v, list):
            stack.extend(v)
        elif isinstance(v, bool) or v is None:
            continue
        elif isinstance(v, (int, decimal.Decimal)):
            sum_, seen = sum_ + v, True
    return format(sum_, "f") if seen else None


def summary(rows, columns, schema):
    out = {"rows": rows, "schema": schema, "columns": {}}
    for name, values in columns.items():
        digest = hashlib.sha256()
        for v in values:
            digest.update(json.dumps(canonical(v), ensure_ascii=False).encode() + b"\n")
        out["columns"][name] = {
            "values": sum(v is not None for v in values),
            "sum": total(values),
            "digest": digest.hexdigest()[:16],
        }
    return out


def read_duckdb(path):
    import duckdb
    con = duckdb.connect()
    con.execute("SET TimeZone='UTC'")
    con.execute("SET threads=1")
    cur = con.execute("SELECT * FROM read_parquet(?)", [path])
    names, types = [d[0] for d in cur.description], [str(d[1]) for d in cur.description]
    rows = cur.fetchall()
    columns = {n: [r[i] for r in rows] for i, n in enumerate(names)}
    return summary(len(rows), columns, dict(zip(names, types)))


def read_pyarrow(path):
    import pyarrow.parquet as pq
    table = pq.ParquetFile(path, page_checksum_verification=True).read()
    columns = {n: table.column(n).to_pylist() for n in table.column_names}
    return summary(table.num_rows, columns, {f.name: str(f.type) for f in table.schema})


def read_polars(path):
    import polars
    frame = polars.read_parquet(path)
    columns = {n: frame[n].to_list() for n in frame.columns}
    return summary(frame.height, columns, {n: str(t) for n, t in frame.schema.items()})


def index_of(path):
    import pyarrow.parquet as pq
    meta = pq.ParquetFile(path).metadata
    chunks = [meta.row_group(g).column(c) for g in range(meta.num_row_groups) for c in range(meta.num_columns)]
    return {
        "created_by": meta.created_by,
        "row_groups": meta.num_row_groups,
        "leaves": meta.num_columns,
        "chunks": len(chunks),
        "with_column_index": sum(c.has_column_index for c in chunks),
        "with_offset_index": sum(c.has_offset_index for c in chunks),
        "with_min_max": sum(bool(c.statistics and c.statistics.has_min_max) for c in chunks),
        "nulls": sum(c.statistics.null_count for c in chunks if c.statistics),
        "codecs": sorted({c.compression for c in chunks}),
        "encodings": sorted({e for c in chunks for e in c.encodings}),
        "metadata_keys": sorted(k.decode() for k in (meta.metadata or {})),
    }


READERS = {"duckdb": read_duckdb, "pyarrow": read_pyarrow, "polars": read_polars}


def main():
    decimal.getcontext().prec = 100
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", default="duckdb,pyarrow,polars")
    parser.add_argument("files", nargs="+")
    args = parser.parse_args()
    result, good = {}, True
    for path in args.files:
        seen = {}
        for name in args.readers.split(","):
            try:
                seen[name] = READERS[name](path)
            except Exception as e:  # a reader that fails is a finding, and the others shall still speak
                seen[name] = {"error": f"{type(e).__name__}: {e}"}
                good = False
        views = [{"rows": s.get("rows"), "columns": s.get("columns")} for s in seen.values()]
        seen["agree"] = all(v == views[0] for v in views)
        good = good and seen["agree"]
        try:
            seen["index"] = index_of(path)
        except Exception as e:
            seen["index"], good = {"error": f"{type(e).__name__}: {e}"}, False
        result[path] = seen
    json.dump(result, sys.stdout, indent=1, ensure_ascii=False)
    print()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
