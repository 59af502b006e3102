//! The embedded broker for demo and tests: librdkafka's mock cluster, in this process, on loopback.
