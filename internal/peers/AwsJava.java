import java.net.URI;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.core.util.VersionInfo;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbClient;
import software.amazon.awssdk.services.dynamodb.model.*;
import software.amazon.awssdk.services.dynamodb.model.Record;
import software.amazon.awssdk.services.dynamodb.streams.DynamoDbStreamsClient;

/** Drives the local world with the AWS SDK for Java and checks every answer. */
public class AwsJava {
  static final String TABLE = "FromJava";
  static final DynamoDbClient db = DynamoDbClient.builder().httpClient(UrlConnectionHttpClient.create()).build();
  // The client of streams takes the endpoint of tables unless it has one of its own.
  static final DynamoDbStreamsClient feed = DynamoDbStreamsClient.builder().httpClient(UrlConnectionHttpClient.create())
      .endpointOverride(URI.create(System.getenv("AWS_ENDPOINT_URL_DYNAMODB_STREAMS"))).build();

  static AttributeValue s(String text) { return AttributeValue.fromS(text); }

  static AttributeValue n(long number) { return AttributeValue.fromN(Long.toString(number)); }

  static Map<String, AttributeValue> key(String pk, long sk) { return Map.of("pk", s(pk), "sk", n(sk)); }

  static void check(boolean right, Object what) {
    if (!right) throw new AssertionError(what);
  }

  static void until(String what, BooleanSupplier ask) throws InterruptedException {
    for (long end = System.nanoTime() + 60_000_000_000L; System.nanoTime() < end; Thread.sleep(50)) if (ask.getAsBoolean()) return;
    throw new AssertionError("waited a minute for " + what);
  }

  static TableDescription create() {
    TableDescription made = db.createTable(b -> b.tableName(TABLE).billingMode(BillingMode.PAY_PER_REQUEST)
        .attributeDefinitions(
            AttributeDefinition.builder().attributeName("pk").attributeType("S").build(),
            AttributeDefinition.builder().attributeName("sk").attributeType("N").build(),
            AttributeDefinition.builder().attributeName("city").attributeType("S").build())
        .keySchema(
            KeySchemaElement.builder().attributeName("pk").keyType("HASH").build(),
            KeySchemaElement.builder().attributeName("sk").keyType("RANGE").build())
        .globalSecondaryIndexes(g -> g.indexName("by-city").projection(p -> p.projectionType("KEYS_ONLY"))
            .keySchema(KeySchemaElement.builder().attributeName("city").keyType("HASH").build()))
        .streamSpecification(f -> f.streamEnabled(true).streamViewType("NEW_AND_OLD_IMAGES"))).tableDescription();
    db.waiter().waitUntilTableExists(b -> b.tableName(TABLE));
    return made;
  }

  static void items() {
    Map<String, AttributeValue> every = Map.of("pk", s("p"), "sk", n(1), "city", s("Ulm"), "s", s("ß€😀"), "b", AttributeValue.fromB(SdkBytes.fromByteArray(new byte[] {0, -1})),
        "l", AttributeValue.fromL(List.of(n(1), AttributeValue.fromNul(true))), "m", AttributeValue.fromM(Map.of("a", AttributeValue.fromBool(true))),
        "ns", AttributeValue.fromNs(List.of("2.5")));
    db.putItem(b -> b.tableName(TABLE).item(every));
    check(db.getItem(b -> b.tableName(TABLE).key(key("p", 1)).consistentRead(true)).item().equals(every), "an item came back otherwise");
    List<WriteRequest> writes = IntStream.range(0, 25).mapToObj(i -> WriteRequest.builder()
        .putRequest(p -> p.item(Map.of("pk", s("q"), "sk", n(i), "city", s(i % 2 == 1 ? "Bern" : "Ulm")))).build()).collect(Collectors.toList());
    check(db.batchWriteItem(b -> b.requestItems(Map.of(TABLE, writes))).unprocessedItems().isEmpty(), "items came back");
    long bern = db.queryPaginator(b -> b.tableName(TABLE).indexName("by-city").limit(5).keyConditionExpression("city = :c")
        .expressionAttributeValues(Map.of(":c", s("Bern")))).items().stream().peek(i -> check(i.keySet().size() == 3, i)).count();
    check(bern == 12, bern);
    Map<String, AttributeValue> now = db.updateItem(b -> b.tableName(TABLE).key(key("p", 1)).updateExpression("SET l[0] = :n")
        .expressionAttributeValues(Map.of(":n", n(7))).returnValues("ALL_NEW")).attributes();
    check(now.get("l").l().get(0).n().equals("7"), now);
    try {
      db.putItem(b -> b.tableName(TABLE).item(every).conditionExpression("attribute_not_exists(pk)"));
      throw new AssertionError("a condition did not hold, and nobody said so");
    } catch (ConditionalCheckFailedException expected) {
      check(expected.statusCode() == 400, expected);
    }
  }

  static void transactions() {
    List<TransactWriteItem> puts = IntStream.range(0, 2).mapToObj(i -> TransactWriteItem.builder()
        .put(p -> p.tableName(TABLE).item(Map.of("pk", s("t"), "sk", n(i), "v", n(i)))).build()).collect(Collectors.toList());
    db.transactWriteItems(b -> b.transactItems(puts));
    try {
      db.transactWriteItems(b -> b.transactItems(
          TransactWriteItem.builder().delete(d -> d.tableName(TABLE).key(key("t", 0))).build(),
          TransactWriteItem.builder().conditionCheck(c -> c.tableName(TABLE).key(key("t", 1)).conditionExpression("v = :v")
              .expressionAttributeValues(Map.of(":v", n(7)))).build()));
      throw new AssertionError("a transaction passed that must not");
    } catch (TransactionCanceledException expected) {
      List<String> codes = expected.cancellationReasons().stream().map(CancellationReason::code).collect(Collectors.toList());
      check(codes.equals(List.of("None", "ConditionalCheckFailed")), codes);
    }
    check(db.transactGetItems(b -> b.transactItems(TransactGetItem.builder().get(g -> g.tableName(TABLE).key(key("t", 0))).build()))
        .responses().get(0).item().get("v").n().equals("0"), "half a transaction");
  }

  static List<Record> records(String arn) {
    List<Record> found = new ArrayList<>();
    for (Shard shard : feed.describeStream(b -> b.streamArn(arn)).streamDescription().shards()) {
      String at = feed.getShardIterator(b -> b.streamArn(arn).shardId(shard.shardId()).shardIteratorType("TRIM_HORIZON")).shardIterator();
      for (int empty = 0; at != null && empty < 4; ) {
        String here = at;
        GetRecordsResponse page = feed.getRecords(b -> b.shardIterator(here));
        found.addAll(page.records());
        empty = page.records().isEmpty() ? empty + 1 : 0;
        at = page.nextShardIterator();
      }
    }
    return found;
  }

  static void told(String arn) throws InterruptedException {
    db.updateTimeToLive(b -> b.tableName(TABLE).timeToLiveSpecification(t -> t.enabled(true).attributeName("until")));
    db.putItem(b -> b.tableName(TABLE).item(Map.of("pk", s("ttl"), "sk", n(1), "until", n(Instant.now().getEpochSecond() - 5))));
    until("the end of an item", () -> !db.getItem(b -> b.tableName(TABLE).key(key("ttl", 1))).hasItem());
    List<Record> all = records(arn);
    check(all.size() == 1 + 25 + 1 + 2 + 2, all.size());
    Record end = all.stream().filter(r -> r.eventName() == OperationType.REMOVE).findFirst().get();
    check(end.userIdentity().principalId().equals("dynamodb.amazonaws.com") && end.userIdentity().type().equals("Service"), end);
    StreamRecord change = all.stream().filter(r -> r.eventName() == OperationType.MODIFY).findFirst().get().dynamodb();
    check(change.oldImage().get("l").l().get(0).n().equals("1") && change.newImage().get("l").l().get(0).n().equals("7"), change);
  }

  static void past(String arn) throws InterruptedException {
    db.updateContinuousBackups(b -> b.tableName(TABLE).pointInTimeRecoverySpecification(p -> p.pointInTimeRecoveryEnabled(true)));
    String made = db.exportTableToPointInTime(b -> b.tableArn(arn).s3Bucket("lake")).exportDescription().exportArn();
    until("the export", () -> db.describeExport(b -> b.exportArn(made)).exportDescription().exportStatus() != ExportStatus.IN_PROGRESS);
    ExportDescription done = db.describeExport(b -> b.exportArn(made)).exportDescription();
    check(done.exportStatus() == ExportStatus.COMPLETED && done.itemCount() == 28, done);
    db.restoreTableToPointInTime(b -> b.sourceTableName(TABLE).targetTableName("Restored").useLatestRestorableTime(true));
    db.waiter().waitUntilTableExists(b -> b.tableName("Restored"));
    check(db.scan(b -> b.tableName("Restored")).count() == 28, "the restored table has other items");
  }

  public static void main(String[] args) throws InterruptedException {
    TableDescription table = create();
    items();
    transactions();
    told(table.latestStreamArn());
    past(table.tableArn());
    System.out.println("AWS SDK for Java " + VersionInfo.SDK_VERSION
        + ": tables, items, indexes, transactions, streams, time to live, exports, restores: all as told");
  }
}
