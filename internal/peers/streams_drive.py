"""The other side of a stream, through boto3: what came in is read, and what follow reads is put in.

read-kinesis ENDPOINT STREAM     a line a record: partition key, tab, data
read-firehose ENDPOINT BUCKET    the lines of all objects
make-kinesis ENDPOINT STREAM SHARDS
make-firehose ENDPOINT STREAM BUCKET
put-kinesis ENDPOINT STREAM N    N changes as DynamoDB writes them into a stream, some of them twice
"""
import gzip
import json
import sys
import time

import boto3


def client(service, endpoint):
    return boto3.client(service, endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="testaccess", aws_secret_access_key="testsecret12")


def make_kinesis(endpoint, stream, shards):
    k = client("kinesis", endpoint)
    k.create_stream(StreamName=stream, ShardCount=int(shards))
    k.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1})


def make_firehose(endpoint, stream, bucket):
    client("s3", endpoint).create_bucket(Bucket=bucket)
    client("firehose", endpoint).create_delivery_stream(
        DeliveryStreamName=stream,
        ExtendedS3DestinationConfiguration={"RoleARN": "arn:aws:iam::123456789012:role/x", "BucketARN": "arn:aws:s3:::" + bucket,
                                            "BufferingHints": {"IntervalInSeconds": 0, "SizeInMBs": 1}})


def read_kinesis(endpoint, stream):
    k = client("kinesis", endpoint)
    for shard in k.list_shards(StreamName=stream)["Shards"]:
        at = k.get_shard_iterator(StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        while at:
            page = k.get_records(ShardIterator=at, Limit=1000)
            for r in page["Records"]:
                print(r["PartitionKey"] + "\t" + r["Data"].decode().rstrip("\n"))
            if page["MillisBehindLatest"] == 0 and not page["Records"]:
                break
            at = page.get("NextShardIterator")


def read_firehose(endpoint, bucket):
    s3 = client("s3", endpoint)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for o in page.get("Contents", []):
            data = s3.get_object(Bucket=bucket, Key=o["Key"])["Body"].read()
            sys.stdout.write(gzip.decompress(data).decode() if data[:2] == b"\x1f\x8b" else data.decode())


def put_kinesis(endpoint, stream, n):
    k = client("kinesis", endpoint)
    records = []
    for i in range(int(n)):
        change = {"awsRegion": "us-east-1", "eventID": f"event-{i:06d}", "eventName": "INSERT", "userIdentity": None, "recordFormat": "application/json",
                  "tableName": "Orders", "dynamodb": {"ApproximateCreationDateTime": int(time.time() * 1e6), "ApproximateCreationDateTimePrecision": "MICROSECOND",
                  "Keys": {"id": {"S": f"k{i:06d}"}}, "NewImage": {"id": {"S": f"k{i:06d}"}, "n": {"N": str(i)}}, "SizeBytes": 30}, "eventSource": "aws:dynamodb"}
        record = {"Data": json.dumps(change).encode(), "PartitionKey": f"k{i:06d}"}
        records += [record, record] if i % 100 == 7 else [record]
    for i in range(0, len(records), 400):
        answer = k.put_records(StreamName=stream, Records=records[i:i + 400])
        assert answer["FailedRecordCount"] == 0, answer


globals()[sys.argv[1].replace("-", "_")](*sys.argv[2:])
