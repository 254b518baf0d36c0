#!/usr/bin/env python3
"""Drives the DynamoDB and the S3 that AWS_ENDPOINT_URL_* name with boto3, and checks every answer."""
import decimal, io
import boto3
from boto3.dynamodb.conditions import Attr, Key
from boto3.dynamodb.types import Binary
from botocore.exceptions import ClientError

D = decimal.Decimal


def refused(code, call, **args):
    try:
        call(**args)
    except ClientError as e:
        assert e.response["Error"]["Code"] == code, e
        return e
    raise AssertionError(f"{code} expected")


def tables():
    db = boto3.resource("dynamodb")
    table = db.create_table(
        TableName="Orders", BillingMode="PROVISIONED", ProvisionedThroughput={"ReadCapacityUnits": 100, "WriteCapacityUnits": 100},
        AttributeDefinitions=[{"AttributeName": "customer", "AttributeType": "S"}, {"AttributeName": "number", "AttributeType": "N"}],
        KeySchema=[{"AttributeName": "customer", "KeyType": "HASH"}, {"AttributeName": "number", "KeyType": "RANGE"}],
        Tags=[{"Key": "team", "Value": "ferry"}])
    table.wait_until_exists()
    table.reload()
    assert table.table_status == "ACTIVE" and table.key_schema[1]["AttributeName"] == "number"
    assert [t.name for t in db.tables.all()] == ["Orders"]
    tags = db.meta.client.list_tags_of_resource(ResourceArn=table.table_arn)["Tags"]
    assert tags == [{"Key": "team", "Value": "ferry"}], tags
    refused("ResourceInUseException", db.create_table, TableName="Orders", BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "a", "AttributeType": "S"}], KeySchema=[{"AttributeName": "a", "KeyType": "HASH"}])
    return table


def items(table):
    every = {"customer": "c1", "number": D(1), "s": "ß€😀", "empty": "", "n": D("1.2345678901234567890123456789012345678"), "b": Binary(b"\0\xff"),
             "t": True, "nothing": None, "l": [D(1), "x", None, [D(2)]], "m": {"a": {"b": D("-0.5")}}, "ss": {"a", "b"}, "ns": {D(1), D("2.5")},
             "bs": {Binary(b"x")}}
    table.put_item(Item=every)
    got = table.get_item(Key={"customer": "c1", "number": 1}, ConsistentRead=True, ReturnConsumedCapacity="TOTAL")
    assert got["Item"] == every, got["Item"]
    assert got["ConsumedCapacity"]["CapacityUnits"] == 1.0
    assert "Item" not in table.get_item(Key={"customer": "nobody", "number": 1})
    new = table.update_item(
        Key={"customer": "c1", "number": 1}, UpdateExpression="SET #l[0] = :n, m.c = if_not_exists(m.c, :n) REMOVE nothing ADD ss :more",
        ConditionExpression=Attr("t").eq(True) & Attr("m.a.b").lt(0), ExpressionAttributeNames={"#l": "l"},
        ExpressionAttributeValues={":n": D(7), ":more": {"c"}}, ReturnValues="ALL_NEW")["Attributes"]
    assert new["l"][0] == 7 and new["m"]["c"] == 7 and new["ss"] == {"a", "b", "c"} and "nothing" not in new, new
    e = refused("ConditionalCheckFailedException", table.put_item, Item={"customer": "c1", "number": 1},
                ConditionExpression=Attr("customer").not_exists(), ReturnValuesOnConditionCheckFailure="ALL_OLD")
    assert e.response["Item"]["s"] == {"S": "ß€😀"}, e.response
    refused("ValidationException", table.put_item, Item={"customer": "c1"})
    old = table.delete_item(Key={"customer": "c1", "number": 1}, ReturnValues="ALL_OLD")["Attributes"]
    assert old["m"]["c"] == 7


def many(table):
    with table.batch_writer() as batch:
        for i in range(1000):
            batch.put_item(Item={"customer": f"c{i % 10}", "number": i, "even": i % 2 == 0, "fill": "x" * 3000})
    found, start = [], {}
    while True:  # 100 items of 3 KB are less than a page, 1,000 more than two
        page = table.query(KeyConditionExpression=Key("customer").eq("c3") & Key("number").between(100, 899), ScanIndexForward=False, Limit=30, **start)
        found += [int(i["number"]) for i in page["Items"]]
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    assert found == list(range(893, 99, -10)), found
    seen, pages = set(), 0
    paginator = table.meta.client.get_paginator("scan")
    for segment in range(3):
        for page in paginator.paginate(TableName="Orders", Segment=segment, TotalSegments=3, FilterExpression=Attr("even").eq(True),
                                       ProjectionExpression="customer, #n", ExpressionAttributeNames={"#n": "number"}):
            pages += 1
            for i in page["Items"]:
                assert set(i) == {"customer", "number"}
                assert int(i["number"]) not in seen
                seen.add(int(i["number"]))
    assert seen == set(range(0, 1000, 2)) and pages > 3, (len(seen), pages)
    keys = [{"customer": f"c{i % 10}", "number": i} for i in range(0, 2000, 20)]
    got = table.meta.client.batch_get_item(RequestItems={"Orders": {"Keys": keys, "ConsistentRead": True}})
    assert len(got["Responses"]["Orders"]) == 50 and not got["UnprocessedKeys"]
    refused("ValidationException", table.meta.client.batch_get_item, RequestItems={"Orders": {"Keys": keys + [keys[0]]}})
    return table.scan(Select="COUNT")["Count"]


def objects():
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="attic")
    s3.put_object(Bucket="attic", Key="a/ß 1", Body=b"hello", Metadata={"by": "boto3"}, ContentType="text/plain")
    got = s3.get_object(Bucket="attic", Key="a/ß 1")
    assert got["Body"].read() == b"hello" and got["Metadata"] == {"by": "boto3"}
    refused("PreconditionFailed", s3.put_object, Bucket="attic", Key="a/ß 1", Body=b"other", IfNoneMatch="*")
    large = bytes(range(256)) * (11 << 12)
    s3.upload_fileobj(io.BytesIO(large), "attic", "large")
    back = io.BytesIO()
    s3.download_fileobj("attic", "large", back)
    assert back.getvalue() == large
    assert s3.get_object(Bucket="attic", Key="large", Range="bytes=256-259")["Body"].read() == b"\0\1\2\3"
    for i in range(25):
        s3.put_object(Bucket="attic", Key=f"many/{i:02}", Body=b"")
    keys = [o["Key"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket="attic", Prefix="many/", PaginationConfig={"PageSize": 10})
            for o in page["Contents"]]
    assert keys == [f"many/{i:02}" for i in range(25)], keys
    prefixes = [p["Prefix"] for p in s3.list_objects_v2(Bucket="attic", Delimiter="/")["CommonPrefixes"]]
    assert prefixes == ["a/", "many/"], prefixes
    s3.delete_objects(Bucket="attic", Delete={"Objects": [{"Key": k} for k in keys]})
    refused("NoSuchKey", s3.get_object, Bucket="attic", Key="many/00")
    refused("NoSuchBucket", s3.list_objects_v2, Bucket="nothing-here")


def main():
    table = tables()
    items(table)
    count = many(table)
    table.delete()
    table.wait_until_not_exists()
    objects()
    print(f"boto3 {boto3.__version__}: tables, items of all ten types, expressions, pages, {count} items on the first page of a scan, objects: all as told")


main()
