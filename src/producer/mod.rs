//! Feed → Kafka topic: keys, delivery guarantees, reconnects.
