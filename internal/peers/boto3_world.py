#!/usr/bin/env python3
"""Drives what lies around the tables with boto3: indexes, transactions, streams, time to live, the past, Kinesis."""
import gzip, json, time
import boto3
from botocore.exceptions import ClientError

db, streams, kinesis, s3 = (boto3.client(n) for n in ("dynamodb", "dynamodbstreams", "kinesis", "s3"))
NAME = "World"


def s(text): return {"S": text}
def n(number): return {"N": str(number)}


def until(what, ask, patience=60):
    """Asks until the answer is one; nothing here tells by itself that it is done."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        got = ask()
        if got:
            return got
        time.sleep(0.05)
    raise AssertionError(f"waited {patience} s for {what}")


def refused(code, call, **args):
    try:
        call(**args)
    except ClientError as e:
        assert e.response["Error"]["Code"] == code, e
        return e.response
    raise AssertionError(f"{code} expected")


def create():
    made = db.create_table(
        TableName=NAME, BillingMode="PAY_PER_REQUEST", StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        AttributeDefinitions=[{"AttributeName": a, "AttributeType": t} for a, t in (("pk", "S"), ("sk", "N"), ("city", "S"), ("age", "N"))],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        LocalSecondaryIndexes=[{"IndexName": "by-age", "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "age", "KeyType": "RANGE"}],
                                "Projection": {"ProjectionType": "KEYS_ONLY"}}],
        GlobalSecondaryIndexes=[{"IndexName": "by-city", "KeySchema": [{"AttributeName": "city", "KeyType": "HASH"}, {"AttributeName": "age", "KeyType": "RANGE"}],
                                 "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["note"]}}])["TableDescription"]
    db.get_waiter("table_exists").wait(TableName=NAME, WaiterConfig={"Delay": 1})
    return made


def indexes():
    for i in range(20):
        db.put_item(TableName=NAME, Item={"pk": s("p"), "sk": n(i), "age": n(100 - i), "city": s("Bern" if i % 2 else "Ulm"), "note": s(f"note {i}"), "fill": s("x")})
    db.put_item(TableName=NAME, Item={"pk": s("p"), "sk": n(99)})  # sparse: in neither index
    got = db.query(TableName=NAME, IndexName="by-city", KeyConditionExpression="city = :c AND age > :a",
                   ExpressionAttributeValues={":c": s("Bern"), ":a": n(90)}, ScanIndexForward=False)["Items"]
    assert [i["sk"]["N"] for i in got] == ["1", "3", "5", "7", "9"] and set(got[0]) == {"pk", "sk", "city", "age", "note"}, got
    got = db.query(TableName=NAME, IndexName="by-age", KeyConditionExpression="pk = :p", ExpressionAttributeValues={":p": s("p")}, Limit=3)
    assert [i["age"]["N"] for i in got["Items"]] == ["81", "82", "83"] and set(got["LastEvaluatedKey"]) == {"pk", "sk", "age"}, got
    assert db.scan(TableName=NAME, IndexName="by-city", Select="COUNT")["Count"] == 20
    refused("ValidationException", db.query, TableName=NAME, IndexName="by-city", ConsistentRead=True, KeyConditionExpression="city = :c",
            ExpressionAttributeValues={":c": s("Bern")})
    db.update_table(TableName=NAME, AttributeDefinitions=[{"AttributeName": "note", "AttributeType": "S"}], GlobalSecondaryIndexUpdates=[
        {"Create": {"IndexName": "by-note", "KeySchema": [{"AttributeName": "note", "KeyType": "HASH"}], "Projection": {"ProjectionType": "ALL"}}}])
    until("the index", lambda: all(i["IndexStatus"] == "ACTIVE" for i in db.describe_table(TableName=NAME)["Table"]["GlobalSecondaryIndexes"]))
    got = db.query(TableName=NAME, IndexName="by-note", KeyConditionExpression="note = :n", ExpressionAttributeValues={":n": s("note 7")})["Items"]
    assert len(got) == 1 and got[0]["fill"] == s("x"), got


def transactions():
    def key(i): return {"pk": s("t"), "sk": n(i)}
    put = [{"Put": {"TableName": NAME, "Item": {**key(i), "v": n(i)}}} for i in range(3)]
    for _ in range(2):  # the second is the first again
        db.transact_write_items(TransactItems=put, ClientRequestToken="one")
    refused("IdempotentParameterMismatchException", db.transact_write_items, TransactItems=put[:2], ClientRequestToken="one")
    why = refused("TransactionCanceledException", db.transact_write_items, TransactItems=[
        {"Delete": {"TableName": NAME, "Key": key(0)}},
        {"ConditionCheck": {"TableName": NAME, "Key": key(1), "ConditionExpression": "v = :v", "ExpressionAttributeValues": {":v": n(7)},
                            "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}}])
    assert [r["Code"] for r in why["CancellationReasons"]] == ["None", "ConditionalCheckFailed"], why
    assert why["CancellationReasons"][1]["Item"]["v"] == n(1), why
    got = db.transact_get_items(TransactItems=[{"Get": {"TableName": NAME, "Key": key(i)}} for i in (0, 2, 5)])["Responses"]
    assert [r.get("Item", {}).get("v") for r in got] == [n(0), n(2), None], got


def records(arn):
    """Everything that the stream tells now."""
    found = []
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        at, empty = streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")["ShardIterator"], 0
        while at and empty < 4:
            page = streams.get_records(ShardIterator=at)
            found += page["Records"]
            at, empty = page.get("NextShardIterator"), 0 if page["Records"] else empty + 1
    return found


def told(arn):
    key = {"pk": s("t"), "sk": n(0)}
    db.update_item(TableName=NAME, Key=key, UpdateExpression="SET v = :v", ExpressionAttributeValues={":v": n(5)})
    db.update_item(TableName=NAME, Key=key, UpdateExpression="SET v = :v", ExpressionAttributeValues={":v": n(5)})  # changes nothing, tells nothing
    db.delete_item(TableName=NAME, Key=key)
    mine = [r for r in records(arn) if r["dynamodb"]["Keys"] == key]
    assert [r["eventName"] for r in mine] == ["INSERT", "MODIFY", "REMOVE"], mine
    assert mine[1]["dynamodb"]["OldImage"]["v"] == n(0) and mine[1]["dynamodb"]["NewImage"]["v"] == n(5) and "NewImage" not in mine[2]["dynamodb"]
    assert len({r["eventID"] for r in mine}) == 3 and "userIdentity" not in mine[2]
    assert [t["StreamArn"] for t in streams.list_streams(TableName=NAME)["Streams"]] == [arn]


def lives(arn):
    db.update_time_to_live(TableName=NAME, TimeToLiveSpecification={"Enabled": True, "AttributeName": "until"})
    db.put_item(TableName=NAME, Item={"pk": s("ttl"), "sk": n(1), "until": n(int(time.time()) - 10)})
    db.put_item(TableName=NAME, Item={"pk": s("ttl"), "sk": n(2), "until": n(int(time.time()) + 3600)})
    until("the end of an item", lambda: "Item" not in db.get_item(TableName=NAME, Key={"pk": s("ttl"), "sk": n(1)}))
    assert "Item" in db.get_item(TableName=NAME, Key={"pk": s("ttl"), "sk": n(2)})
    end = [r for r in records(arn) if r["dynamodb"]["Keys"] == {"pk": s("ttl"), "sk": n(1)}][-1]
    assert end["eventName"] == "REMOVE" and end["userIdentity"] == {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}, end


def stream_of_kinesis():
    kinesis.create_stream(StreamName="changes", ShardCount=2)
    kinesis.get_waiter("stream_exists").wait(StreamName="changes", WaiterConfig={"Delay": 1})
    arn = kinesis.describe_stream_summary(StreamName="changes")["StreamDescriptionSummary"]["StreamARN"]
    db.enable_kinesis_streaming_destination(TableName=NAME, StreamArn=arn)
    until("the destination", lambda: db.describe_kinesis_streaming_destination(TableName=NAME)["KinesisDataStreamDestinations"][0]["DestinationStatus"] == "ACTIVE")
    for i in range(10):
        db.put_item(TableName=NAME, Item={"pk": s("k"), "sk": n(i)})
    kinesis.put_record(StreamName="changes", PartitionKey="other", Data=b"not of a table")
    iterators, seen, other = [], set(), 0
    for shard in kinesis.list_shards(StreamName="changes")["Shards"]:
        iterators.append(kinesis.get_shard_iterator(StreamName="changes", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")["ShardIterator"])

    def read():
        nonlocal other
        for i, at in enumerate(iterators):
            page = kinesis.get_records(ShardIterator=at)
            iterators[i] = page["NextShardIterator"]
            for r in page["Records"]:
                if r["PartitionKey"] == "other":
                    other += 1
                    continue
                change = json.loads(r["Data"])
                assert change["tableName"] == NAME and change["recordFormat"] == "application/json", change
                if change["dynamodb"]["Keys"]["pk"] == s("k"):
                    seen.add(change["dynamodb"]["NewImage"]["sk"]["N"])
        return len(seen) == 10 and other == 1
    until("the changes in Kinesis", read)


def items(name):
    pages = db.get_paginator("scan").paginate(TableName=name)
    return sorted((i for p in pages for i in p["Items"]), key=lambda i: (i["pk"]["S"], float(i["sk"]["N"])))


def export(arn, **how):
    made = db.export_table_to_point_in_time(TableArn=arn, S3Bucket="lake", **how)["ExportDescription"]
    done = until("the export", lambda: (d := db.describe_export(ExportArn=made["ExportArn"])["ExportDescription"])["ExportStatus"] != "IN_PROGRESS" and d)
    assert done["ExportStatus"] == "COMPLETED", done
    summary = json.loads(s3.get_object(Bucket="lake", Key=done["ExportManifest"])["Body"].read())
    lines = []
    for line in s3.get_object(Bucket="lake", Key=summary["manifestFilesS3Key"])["Body"].read().splitlines():
        data = gzip.decompress(s3.get_object(Bucket="lake", Key=json.loads(line)["dataFileS3Key"])["Body"].read())
        lines += [json.loads(x) for x in data.splitlines()]
    assert len(lines) == summary["itemCount"] == done["ItemCount"], (len(lines), summary)
    return lines, done


def past(arn):
    db.update_continuous_backups(TableName=NAME, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True})
    state = db.describe_continuous_backups(TableName=NAME)["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    assert state["PointInTimeRecoveryStatus"] == "ENABLED" and state["EarliestRestorableDateTime"] <= state["LatestRestorableDateTime"], state
    was = items(NAME)
    at = int(time.time()) + 1  # times of requests are whole seconds
    until("the next second", lambda: time.time() > at + 0.01)
    db.put_item(TableName=NAME, Item={"pk": s("late"), "sk": n(1)})
    db.delete_item(TableName=NAME, Key={"pk": s("p"), "sk": n(0)})
    end = int(time.time()) + 1
    until("the second after", lambda: time.time() > end + 0.01)
    def order(lines): return sorted((x["Item"] for x in lines), key=lambda i: (i["pk"]["S"], float(i["sk"]["N"])))
    lines, _ = export(arn, ExportTime=at, S3Prefix="full")
    assert order(lines) == was
    lines, _ = export(arn, ExportType="INCREMENTAL_EXPORT", S3Prefix="more",
                      IncrementalExportSpecification={"ExportFromTime": at, "ExportToTime": end, "ExportViewType": "NEW_AND_OLD_IMAGES"})
    assert {x["Keys"]["pk"]["S"]: ("OldImage" in x, "NewImage" in x) for x in lines} == {"late": (False, True), "p": (True, False)}, lines

    db.restore_table_to_point_in_time(SourceTableName=NAME, TargetTableName="Restored", RestoreDateTime=at)
    db.get_waiter("table_exists").wait(TableName="Restored", WaiterConfig={"Delay": 1})
    assert items("Restored") == was
    backup = db.create_backup(TableName=NAME, BackupName="keep")["BackupDetails"]["BackupArn"]
    until("the backup", lambda: db.describe_backup(BackupArn=backup)["BackupDescription"]["BackupDetails"]["BackupStatus"] == "AVAILABLE")
    db.restore_table_from_backup(TargetTableName="Again", BackupArn=backup)
    db.get_waiter("table_exists").wait(TableName="Again", WaiterConfig={"Delay": 1})
    assert items("Again") == items(NAME)
    return was


def imported(was):
    lines = "".join(json.dumps({"Item": i}) + "\n" for i in was)
    s3.put_object(Bucket="lake", Key="in/one.json.gz", Body=gzip.compress(lines.encode()))
    made = db.import_table(S3BucketSource={"S3Bucket": "lake", "S3KeyPrefix": "in/"}, InputFormat="DYNAMODB_JSON", InputCompressionType="GZIP", TableCreationParameters={
        "TableName": "Imported", "BillingMode": "PAY_PER_REQUEST", "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "sk", "AttributeType": "N"}],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]})["ImportTableDescription"]
    done = until("the import", lambda: (d := db.describe_import(ImportArn=made["ImportArn"])["ImportTableDescription"])["ImportStatus"] != "IN_PROGRESS" and d)
    assert done["ImportStatus"] == "COMPLETED" and done["ImportedItemCount"] == len(was) and done["ErrorCount"] == 0, done
    assert items("Imported") == was


def main():
    table = create()
    indexes()
    transactions()
    told(table["LatestStreamArn"])
    lives(table["LatestStreamArn"])
    stream_of_kinesis()
    imported(past(table["TableArn"]))
    print(f"boto3 {boto3.__version__}: indexes, transactions, streams, time to live, Kinesis, exports, restores, backups, imports: all as told")


main()
