import com.amazonaws.services.dynamodbv2.streamsadapter.AmazonDynamoDBStreamsAdapterClient;
import com.amazonaws.services.dynamodbv2.streamsadapter.StreamsSchedulerFactory;
import com.amazonaws.services.dynamodbv2.streamsadapter.adapter.DynamoDBStreamsClientRecord;
import com.amazonaws.services.dynamodbv2.streamsadapter.model.DynamoDBStreamsProcessRecordsInput;
import com.amazonaws.services.dynamodbv2.streamsadapter.polling.DynamoDBStreamsPollingConfig;
import com.amazonaws.services.dynamodbv2.streamsadapter.processor.DynamoDBStreamsShardRecordProcessor;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.dynamodb.model.*;
import software.amazon.awssdk.services.dynamodb.streams.DynamoDbStreamsClient;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.kinesis.common.ConfigsBuilder;
import software.amazon.kinesis.common.InitialPositionInStream;
import software.amazon.kinesis.common.InitialPositionInStreamExtended;
import software.amazon.kinesis.coordinator.CoordinatorConfig;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.exceptions.InvalidStateException;
import software.amazon.kinesis.exceptions.ShutdownException;
import software.amazon.kinesis.lifecycle.events.*;
import software.amazon.kinesis.metrics.NullMetricsFactory;
import software.amazon.kinesis.processor.ShardRecordProcessor;
import software.amazon.kinesis.retrieval.polling.PollingConfig;

/**
 * Reads a table's stream with the Kinesis Client Library, over a split of its shard, and checks that every change came in order.
 * Its leases are in the same world. Before, a client of Kinesis as it comes, which speaks CBOR, puts and reads records.
 */
public class Kcl {
  static final String TABLE = "Followed";
  static final int KEYS = 20, ROUNDS = 10;
  static final Map<String, Integer> last = new ConcurrentHashMap<>(); // of each key: the version that came last
  static final Set<String> ended = ConcurrentHashMap.newKeySet(); // shards that were read to their end
  static volatile Throwable wrong;

  /** What the library hands records to; one a shard. */
  static class Processor implements DynamoDBStreamsShardRecordProcessor {
    private String shard;

    @Override
    public void initialize(InitializationInput input) { shard = input.shardId(); }

    @Override
    public void processRecords(DynamoDBStreamsProcessRecordsInput input) {
      for (DynamoDBStreamsClientRecord r : input.records()) {
        StreamRecord change = r.getRecord().dynamodb();
        String key = change.keys().get("pk").s();
        int version = Integer.parseInt(change.newImage().get("v").n());
        int before = change.oldImage().isEmpty() ? 0 : Integer.parseInt(change.oldImage().get("v").n());
        Integer known = last.put(key, version);
        // A page may come again after a lease has moved, so what is older is let pass; a gap never is.
        if (before != version - 1 || version > (known == null ? 0 : known) + 1)
          wrong = new AssertionError(shard + ": version " + version + " of " + key + " after " + known);
      }
      try {
        input.checkpointer().checkpoint();
      } catch (InvalidStateException | ShutdownException e) {
        wrong = e;
      }
    }

    @Override
    public void leaseLost(LeaseLostInput input) {}

    @Override
    public void shardEnded(ShardEndedInput input) {
      try {
        input.checkpointer().checkpoint();
        ended.add(shard);
      } catch (InvalidStateException | ShutdownException e) {
        wrong = e;
      }
    }

    @Override
    public void shutdownRequested(ShutdownRequestedInput input) {}
  }

  static void write(DynamoDbAsyncClient db, int from, int to) {
    for (int v = from; v <= to; v++)
      for (int k = 0; k < KEYS; k++) {
        Map<String, AttributeValue> item = Map.of("pk", AttributeValue.fromS("key " + k), "v", AttributeValue.fromN(Integer.toString(v)));
        db.putItem(b -> b.tableName(TABLE).item(item)).join();
      }
  }

  static void until(String what, int version) throws InterruptedException {
    for (long end = System.nanoTime() + 120_000_000_000L; System.nanoTime() < end; Thread.sleep(50)) {
      if (wrong != null) throw new AssertionError(wrong);
      if (last.size() == KEYS && last.values().stream().allMatch(v -> v == version)) return;
    }
    throw new AssertionError("waited two minutes for " + what + ": " + last);
  }

  static void split(String endpoint, String arn, String shard) throws Exception {
    HttpRequest request = HttpRequest.newBuilder(URI.create(endpoint)).header("X-Amz-Target", "DynaferryLocal.SplitShard")
        .header("Authorization", "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0")
        .POST(HttpRequest.BodyPublishers.ofString("{\"StreamArn\":\"" + arn + "\",\"ShardId\":\"" + shard + "\"}")).build();
    HttpResponse<String> reply = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
    if (reply.statusCode() != 200) throw new AssertionError(reply.body());
  }

  static Scheduler scheduler(String arn, DynamoDbAsyncClient leases, DynamoDbStreamsClient feed) {
    AmazonDynamoDBStreamsAdapterClient adapter = new AmazonDynamoDBStreamsAdapterClient(feed, Region.US_EAST_1);
    ConfigsBuilder c = new ConfigsBuilder(
        StreamsSchedulerFactory.createSingleStreamTracker(arn, InitialPositionInStreamExtended.newInitialPosition(InitialPositionInStream.TRIM_HORIZON)),
        "follower", adapter, leases, CloudWatchAsyncClient.create(), "worker", () -> (ShardRecordProcessor) new Processor());
    CoordinatorConfig coordinator = c.coordinatorConfig();
    coordinator.clientVersionConfig(CoordinatorConfig.ClientVersionConfig.CLIENT_VERSION_CONFIG_COMPATIBLE_WITH_2X);
    coordinator.parentShardPollIntervalMillis(200).shardConsumerDispatchPollIntervalMillis(100);
    PollingConfig polling = new DynamoDBStreamsPollingConfig(arn, adapter);
    polling.idleTimeBetweenReadsInMillis(200);
    return StreamsSchedulerFactory.createScheduler(c.checkpointConfig(), coordinator,
        c.leaseManagementConfig().shardSyncIntervalMillis(500).failoverTimeMillis(2000), c.lifecycleConfig(),
        c.metricsConfig().metricsFactory(new NullMetricsFactory()), c.processorConfig(), c.retrievalConfig().retrievalSpecificConfig(polling), adapter);
  }

  static void kinesis() {
    KinesisClient kinesis = KinesisClient.builder().httpClient(UrlConnectionHttpClient.create()).build();
    kinesis.createStream(b -> b.streamName("orders").shardCount(1));
    byte[] data = {0, -1, 'x'};
    Instant before = Instant.now().minusSeconds(5);
    String number = kinesis.putRecord(b -> b.streamName("orders").partitionKey("ß").data(SdkBytes.fromByteArray(data))).sequenceNumber();
    String shard = kinesis.listShards(b -> b.streamName("orders")).shards().get(0).shardId();
    String at = kinesis.getShardIterator(b -> b.streamName("orders").shardId(shard).shardIteratorType("AT_TIMESTAMP").timestamp(before)).shardIterator();
    software.amazon.awssdk.services.kinesis.model.Record r = kinesis.getRecords(b -> b.shardIterator(at)).records().get(0);
    if (!r.data().equals(SdkBytes.fromByteArray(data)) || !r.partitionKey().equals("ß") || !r.sequenceNumber().equals(number)
        || Math.abs(r.approximateArrivalTimestamp().getEpochSecond() - before.getEpochSecond()) > 60) throw new AssertionError(r);
    try {
      kinesis.describeStream(b -> b.streamName("nowhere"));
      throw new AssertionError("a stream that is not there was described");
    } catch (software.amazon.awssdk.services.kinesis.model.ResourceNotFoundException expected) {
      if (!expected.getMessage().contains("nowhere")) throw new AssertionError(expected);
    }
  }

  public static void main(String[] args) throws Exception {
    kinesis();
    String endpoint = System.getenv("AWS_ENDPOINT_URL_DYNAMODB");
    DynamoDbAsyncClient db = DynamoDbAsyncClient.builder().endpointOverride(URI.create(endpoint)).build();
    DynamoDbStreamsClient feed = DynamoDbStreamsClient.builder().endpointOverride(URI.create(endpoint)).build();
    String arn = db.createTable(b -> b.tableName(TABLE).billingMode(BillingMode.PAY_PER_REQUEST)
        .attributeDefinitions(AttributeDefinition.builder().attributeName("pk").attributeType("S").build())
        .keySchema(KeySchemaElement.builder().attributeName("pk").keyType("HASH").build())
        .streamSpecification(s -> s.streamEnabled(true).streamViewType("NEW_AND_OLD_IMAGES"))).join().tableDescription().latestStreamArn();
    Scheduler scheduler = scheduler(arn, db, feed);
    Thread runs = new Thread(scheduler);
    runs.setDaemon(true);
    runs.start();
    write(db, 1, ROUNDS);
    until("the changes before the split", ROUNDS);
    List<Shard> shards = feed.describeStream(b -> b.streamArn(arn)).streamDescription().shards();
    split(endpoint, arn, shards.get(0).shardId());
    write(db, ROUNDS + 1, 2 * ROUNDS);
    until("the changes behind the split", 2 * ROUNDS);
    if (!ended.contains(shards.get(0).shardId())) throw new AssertionError("the parent has not ended: " + ended);
    scheduler.startGracefulShutdown().get(60, TimeUnit.SECONDS);
    System.out.println("Kinesis Client Library with the adapter for DynamoDB Streams: " + 2 * ROUNDS * KEYS + " changes in order over a split, leases beside them; Kinesis in CBOR");
    System.exit(0); // its pools have threads that live on
  }
}
