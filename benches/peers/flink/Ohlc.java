// The candles of sql/ohlc.sql as an Apache Flink job, for benches/peers/run: Kafka in, Parquet out, in one JVM.
//
//   java … Ohlc BROKER TOPIC FOLDER PARALLELISM arrival|event-time

import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.api.Schema;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.table.functions.AggregateFunction;
import org.apache.flink.types.Row;

public class Ohlc {
  public static void main(String[] args) throws Exception {
    String broker = args[0], topic = args[1], folder = args[2], parallelism = args[3], order = args[4];

    Configuration settings = new Configuration();
    settings.setString("execution.runtime-mode", "STREAMING");
    settings.setString("parallelism.default", parallelism);
    // Files are published by checkpoints, as often as sql/ohlc.sql commits. When the topic ends, Flink waits for the
    // next one: with longer intervals it stands idle there.
    settings.setString("execution.checkpointing.interval", "1 s");
    settings.setString("execution.checkpointing.storage", "filesystem");
    settings.setString("execution.checkpointing.dir", "file://" + folder + "/checkpoints");
    // Rows are handed from operator to operator uncopied: nothing here keeps one and changes it.
    settings.setString("pipeline.object-reuse", "true");
    settings.setString("table.local-time-zone", "UTC");

    StreamExecutionEnvironment environment = StreamExecutionEnvironment.getExecutionEnvironment(settings);
    StreamTableEnvironment tables = StreamTableEnvironment.create(environment);

    // The watermark is the frames', as in sql/ohlc.sql: of each Kafka partition, a minute behind.
    tables.executeSql("""
        CREATE TABLE raw_ticks (
          `type` STRING,
          `data` ARRAY<ROW<s STRING, p DOUBLE, t BIGINT, v DOUBLE>>,
          event_time AS TO_TIMESTAMP_LTZ(COALESCE(`data`[1].t, 86400000), 3),
          WATERMARK FOR event_time AS event_time - INTERVAL '1' MINUTE
        ) WITH (
          'connector' = 'kafka',
          'properties.bootstrap.servers' = '%s',
          'topic' = '%s',
          'scan.startup.mode' = 'earliest-offset',
          'scan.bounded.mode' = 'latest-offset',
          'format' = 'json',
          'json.ignore-parse-errors' = 'true'
        )""".formatted(broker, topic));

    // A tick that comes out of UNNEST has a time, but no event time: Flink SQL takes that only from a column of a
    // source. So the ticks go once through the DataStream API, which gives them their own event time and keeps the
    // frames' watermarks. (A watermark made anew from the ticks would be that of two partitions together, and drop
    // as late whatever the slower one brings.)
    DataStream<Row> ticks = tables.toDataStream(tables.sqlQuery("""
        SELECT s AS symbol, p AS price, v AS volume, TO_TIMESTAMP_LTZ(t, 3) AS ts
        FROM raw_ticks CROSS JOIN UNNEST(`data`) AS tick (s, p, t, v)
        WHERE s IS NOT NULL AND p IS NOT NULL AND t IS NOT NULL"""));
    tables.createTemporaryView("ticks", ticks, Schema.newBuilder()
        .column("symbol", "STRING")
        .column("price", "DOUBLE")
        .column("volume", "DOUBLE")
        .column("ts", "TIMESTAMP_LTZ(3)")
        .watermark("ts", "SOURCE_WATERMARK()")
        .build());

    tables.executeSql("""
        CREATE TABLE ohlc (
          symbol STRING,
          window_start TIMESTAMP(3),
          window_end TIMESTAMP(3),
          `open` DOUBLE,
          high DOUBLE,
          low DOUBLE,
          `close` DOUBLE,
          volume DOUBLE,
          trades BIGINT
        ) WITH (
          'connector' = 'filesystem',
          'path' = 'file://%s/candles',
          'format' = 'parquet',
          'parquet.utc-timezone' = 'true'
        )""".formatted(folder));

    // Flink SQL's own FIRST_VALUE and LAST_VALUE go by arrival, and are what its users' candles are commonly made
    // with. By event time it has none: that takes an aggregate function in Java, as below.
    String open = "FIRST_VALUE(price)", close = "LAST_VALUE(price)";
    if (order.equals("event-time")) {
      tables.createTemporarySystemFunction("FIRST_BY", FirstBy.class);
      tables.createTemporarySystemFunction("LAST_BY", LastBy.class);
      open = "FIRST_BY(price, ts)";
      close = "LAST_BY(price, ts)";
    }
    tables.executeSql("""
        INSERT INTO ohlc
        SELECT symbol, window_start, window_end,
          %s, MAX(price), MIN(price), %s, SUM(volume), COUNT(*)
        FROM TABLE(TUMBLE(TABLE ticks, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
        GROUP BY symbol, window_start, window_end""".formatted(open, close)).await();
  }

  /** The value of one tick, and when that was; none yet if not `known`. */
  public static class Held {
    public boolean known;
    public long millis;
    public double value;

    void take(double value, long millis) {
      this.known = true;
      this.millis = millis;
      this.value = value;
    }
  }

  /** The value of the earliest tick; of several in its millisecond, the one that arrived first. */
  public static class FirstBy extends AggregateFunction<Double, Held> {
    @Override
    public Held createAccumulator() {
      return new Held();
    }

    public void accumulate(Held held, Double value, @DataTypeHint("TIMESTAMP_LTZ(3)") java.time.Instant time) {
      long millis = time.toEpochMilli();
      if (!held.known || millis < held.millis) {
        held.take(value, millis);
      }
    }

    @Override
    public Double getValue(Held held) {
      return held.known ? held.value : null;
    }
  }

  /** The value of the latest tick; of several in its millisecond, the one that arrived last. */
  public static class LastBy extends AggregateFunction<Double, Held> {
    @Override
    public Held createAccumulator() {
      return new Held();
    }

    public void accumulate(Held held, Double value, @DataTypeHint("TIMESTAMP_LTZ(3)") java.time.Instant time) {
      long millis = time.toEpochMilli();
      if (!held.known || millis >= held.millis) {
        held.take(value, millis);
      }
    }

    @Override
    public Double getValue(Held held) {
      return held.known ? held.value : null;
    }
  }
}
