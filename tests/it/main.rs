//! One integration-test binary, so that DataFusion links once.

mod decode;
