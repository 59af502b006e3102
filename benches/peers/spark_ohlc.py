"""The candles of sql/ohlc.sql as a Spark Structured Streaming job, for benches/peers/run: Kafka in, Parquet out.

Usage: spark_ohlc.py BROKER TOPIC FOLDER JARS CORES HEAP

JARS is the folder of what reads Kafka; the candles go to FOLDER/candles, the checkpoint beside them.
"""

import sys
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as f

MESSAGE = "type STRING, data ARRAY<STRUCT<s: STRING, p: DOUBLE, t: BIGINT, v: DOUBLE>>"


def main():
    broker, topic, folder, jars, cores, heap = sys.argv[1:]
    spark = (
        SparkSession.builder.master(f"local[{cores}]")
        .appName("ohlc")
        .config("spark.jars", ",".join(str(jar) for jar in sorted(Path(jars).glob("*.jar"))))
        .config("spark.driver.memory", heap)
        # As many as cores: the default of 200 is made for a cluster, and costs 200 tasks here.
        .config("spark.sql.shuffle.partitions", cores)
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("WARN")

    frames = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", broker)
        .option("subscribe", topic)
        .option("startingOffsets", "earliest")
        .load()
    )
    # A frame that is not of this shape has null here, and thereby no ticks.
    ticks = (
        frames.select(f.from_json(f.col("value").cast("string"), MESSAGE).alias("frame"))
        .select(f.explode("frame.data").alias("tick"))
        .where("tick.s IS NOT NULL AND tick.p IS NOT NULL AND tick.t IS NOT NULL")
        .select(
            f.col("tick.s").alias("symbol"),
            f.col("tick.p").alias("price"),
            f.col("tick.v").alias("volume"),
            f.timestamp_millis("tick.t").alias("time"),
        )
    )
    # first() and last() go by arrival; min_by and max_by by event time, and of several ticks in the same
    # millisecond they take any. The watermark is the ticks', of all partitions together.
    candles = (
        ticks.withWatermark("time", "1 minute")
        .groupBy("symbol", f.window("time", "1 minute"))
        .agg(
            f.min_by("price", "time").alias("open"),
            f.max("price").alias("high"),
            f.min("price").alias("low"),
            f.max_by("price", "time").alias("close"),
            f.sum("volume").alias("volume"),
            f.count("*").alias("trades"),
        )
        .select(
            "symbol",
            f.col("window.start").alias("window_start"),
            f.col("window.end").alias("window_end"),
            "open",
            "high",
            "low",
            "close",
            "volume",
            "trades",
        )
    )
    # Without maxOffsetsPerTrigger everything is one micro-batch, the quickest way: nothing of it is late.
    query = (
        candles.writeStream.format("parquet")
        .outputMode("append")
        .option("path", f"{folder}/candles")
        .option("checkpointLocation", f"{folder}/checkpoint")
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    spark.stop()


if __name__ == "__main__":
    main()
