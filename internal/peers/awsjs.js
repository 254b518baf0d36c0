// Drives the local world with the AWS SDK for JavaScript, whose folder node_modules is the argument; checks every answer.
"use strict";
const assert = require("node:assert/strict");
const path = require("node:path");
const modules = process.argv[2];
const sdk = (name) => require(path.join(modules, "@aws-sdk", name));
const dynamo = sdk("client-dynamodb"), streams = sdk("client-dynamodb-streams"), doc = sdk("lib-dynamodb"), kinesis = sdk("client-kinesis");

const db = new dynamo.DynamoDBClient({});
const tables = doc.DynamoDBDocumentClient.from(db);
const feed = new streams.DynamoDBStreamsClient({});
const TableName = "FromJavaScript";

const until = async (what, ask) => {
  for (const end = Date.now() + 60_000; Date.now() < end; await new Promise((r) => setTimeout(r, 50))) {
    const got = await ask();
    if (got) return got;
  }
  assert.fail(`waited a minute for ${what}`);
};

async function create() {
  const { TableDescription } = await db.send(new dynamo.CreateTableCommand({
    TableName, BillingMode: "PAY_PER_REQUEST", StreamSpecification: { StreamEnabled: true, StreamViewType: "NEW_AND_OLD_IMAGES" },
    AttributeDefinitions: [["pk", "S"], ["sk", "N"], ["city", "S"]].map(([AttributeName, AttributeType]) => ({ AttributeName, AttributeType })),
    KeySchema: [{ AttributeName: "pk", KeyType: "HASH" }, { AttributeName: "sk", KeyType: "RANGE" }],
    GlobalSecondaryIndexes: [{ IndexName: "by-city", KeySchema: [{ AttributeName: "city", KeyType: "HASH" }, { AttributeName: "sk", KeyType: "RANGE" }],
      Projection: { ProjectionType: "ALL" } }],
  }));
  await dynamo.waitUntilTableExists({ client: db, maxWaitTime: 60, minDelay: 1 }, { TableName });
  return TableDescription;
}

async function items() {
  const every = { pk: "p", sk: 1, city: "Ulm", s: "ß€😀", empty: "", b: new Uint8Array([0, 255]), t: true, nothing: null, l: [1, "x", [2]], m: { a: { b: -0.5 } },
    ss: new Set(["a", "b"]), ns: new Set([1, 2.5]) };
  await tables.send(new doc.PutCommand({ TableName, Item: every }));
  const { Item } = await tables.send(new doc.GetCommand({ TableName, Key: { pk: "p", sk: 1 }, ConsistentRead: true }));
  assert.deepEqual(Item, every);
  const requests = Array.from({ length: 25 }, (_, i) => ({ PutRequest: { Item: { pk: "q", sk: i, city: i % 2 ? "Bern" : "Ulm" } } }));
  const { UnprocessedItems } = await tables.send(new doc.BatchWriteCommand({ RequestItems: { [TableName]: requests } }));
  assert.deepEqual(UnprocessedItems, {});
  const found = [];
  for await (const page of doc.paginateQuery({ client: tables, pageSize: 5 }, { TableName, IndexName: "by-city", KeyConditionExpression: "city = :c",
    ExpressionAttributeValues: { ":c": "Bern" } })) found.push(...page.Items.map((i) => i.sk));
  assert.deepEqual(found, [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23]);
  const { Attributes } = await tables.send(new doc.UpdateCommand({ TableName, Key: { pk: "p", sk: 1 }, UpdateExpression: "SET l[0] = :n ADD ss :c",
    ExpressionAttributeValues: { ":n": 7, ":c": new Set(["c"]) }, ReturnValues: "ALL_NEW" }));
  assert.equal(Attributes.l[0], 7);
  assert.deepEqual(Attributes.ss, new Set(["a", "b", "c"]));
  await assert.rejects(tables.send(new doc.PutCommand({ TableName, Item: { pk: "p", sk: 1 }, ConditionExpression: "attribute_not_exists(pk)" })),
    (e) => e instanceof dynamo.ConditionalCheckFailedException);
}

async function transactions() {
  await tables.send(new doc.TransactWriteCommand({ TransactItems: [0, 1].map((sk) => ({ Put: { TableName, Item: { pk: "t", sk, v: sk } } })) }));
  await assert.rejects(tables.send(new doc.TransactWriteCommand({ TransactItems: [{ Delete: { TableName, Key: { pk: "t", sk: 0 } } },
    { ConditionCheck: { TableName, Key: { pk: "t", sk: 1 }, ConditionExpression: "v = :v", ExpressionAttributeValues: { ":v": 7 } } }] })),
  (e) => e instanceof dynamo.TransactionCanceledException && e.CancellationReasons.map((r) => r.Code).join() === "None,ConditionalCheckFailed");
  const { Responses } = await tables.send(new doc.TransactGetCommand({ TransactItems: [0, 1].map((sk) => ({ Get: { TableName, Key: { pk: "t", sk } } })) }));
  assert.deepEqual(Responses.map((r) => r.Item.v), [0, 1]);
}

async function records(StreamArn) {
  const found = [];
  const { StreamDescription } = await feed.send(new streams.DescribeStreamCommand({ StreamArn }));
  for (const { ShardId } of StreamDescription.Shards) {
    let { ShardIterator } = await feed.send(new streams.GetShardIteratorCommand({ StreamArn, ShardId, ShardIteratorType: "TRIM_HORIZON" }));
    for (let empty = 0; ShardIterator && empty < 4;) {
      const page = await feed.send(new streams.GetRecordsCommand({ ShardIterator }));
      found.push(...page.Records);
      empty = page.Records.length ? 0 : empty + 1;
      ShardIterator = page.NextShardIterator;
    }
  }
  return found;
}

async function told(arn) {
  await db.send(new dynamo.UpdateTimeToLiveCommand({ TableName, TimeToLiveSpecification: { Enabled: true, AttributeName: "until" } }));
  await tables.send(new doc.PutCommand({ TableName, Item: { pk: "ttl", sk: 1, until: Math.floor(Date.now() / 1000) - 5 } }));
  await until("the end of an item", async () => !(await tables.send(new doc.GetCommand({ TableName, Key: { pk: "ttl", sk: 1 } }))).Item);
  const all = await records(arn);
  assert.equal(all.length, 1 + 25 + 1 + 2 + 2);
  const mine = all.filter((r) => r.dynamodb.Keys.pk.S === "ttl");
  assert.deepEqual(mine.map((r) => r.eventName), ["INSERT", "REMOVE"]);
  assert.deepEqual({ ...mine[1].userIdentity }, { PrincipalId: "dynamodb.amazonaws.com", Type: "Service" });
  const change = all.find((r) => r.eventName === "MODIFY").dynamodb;
  assert.equal(change.OldImage.l.L[0].N, "1");
  assert.equal(change.NewImage.l.L[0].N, "7");
}

// The SDK speaks to Kinesis over HTTP/2 unless told otherwise; our port speaks HTTP/1.1.
async function consumed() {
  const { NodeHttpHandler } = require(require.resolve("@smithy/node-http-handler", { paths: [modules] }));
  const k = new kinesis.KinesisClient({ requestHandler: new NodeHttpHandler({}) });
  await k.send(new kinesis.CreateStreamCommand({ StreamName: "js", ShardCount: 1 }));
  await kinesis.waitUntilStreamExists({ client: k, maxWaitTime: 60, minDelay: 1 }, { StreamName: "js" });
  const put = await k.send(new kinesis.PutRecordsCommand({ StreamName: "js", Records: ["a", "b"].map((x) => ({ PartitionKey: x, Data: Buffer.from(x) })) }));
  assert.equal(put.FailedRecordCount, 0);
  const { Shards } = await k.send(new kinesis.ListShardsCommand({ StreamName: "js" }));
  const { ShardIterator } = await k.send(new kinesis.GetShardIteratorCommand({ StreamName: "js", ShardId: Shards[0].ShardId, ShardIteratorType: "TRIM_HORIZON" }));
  const { Records } = await k.send(new kinesis.GetRecordsCommand({ ShardIterator }));
  assert.deepEqual(Records.map((r) => Buffer.from(r.Data).toString()), ["a", "b"]);
}

(async () => {
  const table = await create();
  await items();
  await transactions();
  await told(table.LatestStreamArn);
  await consumed();
  const { version } = require(path.join(modules, "@aws-sdk/client-dynamodb/package.json"));
  console.log(`AWS SDK for JavaScript ${version}: tables, items, indexes, transactions, streams, time to live, Kinesis: all as told`);
})().catch((e) => { console.error(e); process.exit(1); });
