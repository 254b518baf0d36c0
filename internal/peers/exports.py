"""Reads our exports with DuckDB, and lets moto import and export.

  exports.py duckdb PATTERN             items as DynamoDB JSON, one a line, and what DuckDB counts of them on stderr
  exports.py moto-import FOLDER TABLE KEY   ImportTable of the data files in a folder
  exports.py moto-export TABLE BUCKET   ExportTableToPointInTime
"""

import json
import os
import sys
import time


def duckdb_reads(pattern):
    import duckdb

    db = duckdb.connect()
    items = f"read_json('{pattern}', format = 'newline_delimited', columns = {{'Item': 'JSON'}})"
    count, cents, keys = db.execute(
        f"SELECT count(*), sum((Item->'total'->>'N')::DECIMAL(18, 2)), count(DISTINCT Item->'orderId'->>'S') FROM {items}"
    ).fetchall()[0]
    if keys != count:
        sys.exit(f"{keys} keys of {count} items")
    rows = db.execute(f"SELECT Item FROM {items}")
    while batch := rows.fetchmany(10_000):
        sys.stdout.write("".join(row[0] + "\n" for row in batch))
    print(json.dumps({"items": count, "cents": int(cents * 100)}), file=sys.stderr)


def clients():
    import boto3

    return boto3.client("s3"), boto3.client("dynamodb")


def ended(describe):
    while (said := describe())["status"] == "IN_PROGRESS":
        time.sleep(0.1)
    if said["status"] != "COMPLETED":
        sys.exit(json.dumps(said, default=str))
    return said


def moto_imports(folder, table, key):
    s3, tables = clients()
    s3.create_bucket(Bucket="exports")
    for name in sorted(os.listdir(folder)):
        s3.upload_file(os.path.join(folder, name), "exports", "data/" + name)
    arn = tables.import_table(
        S3BucketSource={"S3Bucket": "exports", "S3KeyPrefix": "data/"},
        InputFormat="DYNAMODB_JSON",
        InputCompressionType="GZIP",
        TableCreationParameters={
            "TableName": table,
            "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
            "BillingMode": "PAY_PER_REQUEST",
        },
    )["ImportTableDescription"]["ImportArn"]

    def describe():
        d = tables.describe_import(ImportArn=arn)["ImportTableDescription"]
        return {"status": d["ImportStatus"], "items": d.get("ImportedItemCount"), "errors": d.get("ErrorCount")}

    print(json.dumps(ended(describe)))


def moto_exports(table, bucket):
    s3, tables = clients()
    s3.create_bucket(Bucket=bucket)
    tables.update_continuous_backups(TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True})
    of = tables.describe_table(TableName=table)["Table"]["TableArn"]
    arn = tables.export_table_to_point_in_time(TableArn=of, S3Bucket=bucket, S3Prefix="from-moto")["ExportDescription"]["ExportArn"]

    def describe():
        d = tables.describe_export(ExportArn=arn)["ExportDescription"]
        return {"status": d["ExportStatus"], "items": d.get("ItemCount")}

    print(json.dumps(ended(describe)))


{"duckdb": duckdb_reads, "moto-import": moto_imports, "moto-export": moto_exports}[sys.argv[1]](*sys.argv[2:])
