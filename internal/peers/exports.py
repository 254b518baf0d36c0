"""Reads our exports with DuckDB, and lets moto import and export.

  exports.py duckdb PATTERN             items as DynamoDB JSON, one a line, and what DuckDB counts of them on stderr
  exports.py moto FOLDER TABLE KEY BUCKET   ImportTable of the data files in a folder and ExportTableToPointInTime into the
                                        bucket; items of that export as above, and on stderr what moto counted and took
"""

import decimal
import gzip
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


def ended(describe, work, count):
    begun = time.time()
    while (said := describe())[work + "Status"] == "IN_PROGRESS":
        time.sleep(0.5)
    if said[work + "Status"] != "COMPLETED" or said.get("ErrorCount"):
        sys.exit(json.dumps(said, default=str))
    return said[count], round(time.time() - begun, 1)


def moto_imports(s3, tables, folder, table, key):
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
    return ended(lambda: tables.describe_import(ImportArn=arn)["ImportTableDescription"], "Import", "ImportedItemCount")


def moto_exports(s3, tables, table, bucket):
    s3.create_bucket(Bucket=bucket)
    tables.update_continuous_backups(TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True})
    of = tables.describe_table(TableName=table)["Table"]["TableArn"]
    arn = tables.export_table_to_point_in_time(TableArn=of, S3Bucket=bucket, S3Prefix="from-moto")["ExportDescription"]["ExportArn"]
    return ended(lambda: tables.describe_export(ExportArn=arn)["ExportDescription"], "Export", "ItemCount")


def moto_carries(folder, table, key, bucket):
    import boto3

    s3, tables = boto3.client("s3"), boto3.client("dynamodb")
    imported, import_seconds = moto_imports(s3, tables, folder, table, key)
    exported, export_seconds = moto_exports(s3, tables, table, bucket)
    cents = 0
    for at in s3.list_objects_v2(Bucket=bucket)["Contents"]:
        for line in gzip.GzipFile(fileobj=s3.get_object(Bucket=bucket, Key=at["Key"])["Body"]):
            item = json.loads(line)["Item"]
            cents += int(decimal.Decimal(item["total"]["N"]) * 100)
            print(json.dumps(item))
    if imported != exported:
        sys.exit(f"{imported} imported, {exported} exported")
    told = {"items": imported, "cents": cents, "importSeconds": import_seconds, "exportSeconds": export_seconds}
    print(json.dumps(told), file=sys.stderr)


{"duckdb": duckdb_reads, "moto": moto_carries}[sys.argv[1]](*sys.argv[2:])
