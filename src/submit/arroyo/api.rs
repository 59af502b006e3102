//! Arroyo's REST API, as far as it is used: what is sent and what is read. Fields that are not named here are passed over.

use serde::{Deserialize, Serialize};

/// `POST /pipelines/validate_query`
#[derive(Serialize)]
pub(super) struct ValidateQuery<'a> {
    pub query: &'a str,
}

/// What a cluster says of a query.
#[derive(Deserialize)]
pub(super) struct Validation {
    pub graph: Option<Graph>,
    pub errors: Vec<SqlFault>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum SqlFault {
    Placed {
        message: String,
        #[serde(default)]
        span: Option<FaultSpan>,
    },
    /// What older clusters say.
    Text(String),
}

#[derive(Deserialize)]
pub(super) struct FaultSpan {
    pub start: Place,
    pub end: Place,
}

/// Line and column, from 1; the end is behind the last character.
#[derive(Deserialize)]
pub(super) struct Place {
    pub line: u64,
    pub column: u64,
}

/// `POST /pipelines`
#[derive(Serialize)]
pub(super) struct NewPipeline<'a> {
    pub name: &'a str,
    pub query: &'a str,
    pub parallelism: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_interval_micros: Option<u64>,
}

/// `PATCH /pipelines/{id}`: what is `None` stays as it is.
#[derive(Default, Serialize)]
pub(super) struct Change {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_interval_micros: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopMode>,
}

/// Whether a pipeline is to run, and else how it stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StopMode {
    /// It is to run.
    None,
    /// It stops after a last checkpoint.
    Checkpoint,
}

/// `POST /pipelines/{id}/restart`
#[derive(Serialize)]
pub(super) struct Restart {
    pub force: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Pipeline {
    pub id: String,
    pub name: String,
    pub query: String,
    pub checkpoint_interval_micros: u64,
    pub graph: Graph,
}

impl Pipeline {
    /// Subtasks of the operator that has most of them.
    pub fn parallelism(&self) -> u64 {
        let nodes = self.graph.nodes.iter();
        nodes.map(|node| node.parallelism).max().unwrap_or(1)
    }
}

/// Operators and what flows between them.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Graph {
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
}

impl Graph {
    /// Whether nothing flows into it.
    pub fn is_source(&self, node: u64) -> bool {
        !self.edges.iter().any(|edge| edge.dest_id == node)
    }

    /// Whether nothing flows out of it.
    pub fn is_sink(&self, node: u64) -> bool {
        !self.edges.iter().any(|edge| edge.src_id == node)
    }
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Node {
    pub node_id: u64,
    pub description: String,
    pub parallelism: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Edge {
    pub src_id: u64,
    pub dest_id: u64,
}

/// A run of a pipeline; a pipeline has one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Job {
    pub id: String,
    pub state: String,
    pub run_id: u64,
    /// Microseconds since 1970.
    pub start_time: Option<u64>,
    pub finish_time: Option<u64>,
    pub tasks: Option<u64>,
    #[serde(default)]
    pub failure_reason: Option<FailureReason>,
    /// What older clusters have instead.
    #[serde(default)]
    pub failure_message: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct FailureReason {
    pub error: String,
}

impl Job {
    pub fn phase(&self) -> Phase {
        match self.state.as_str() {
            "Running" => Phase::Running,
            "Stopped" => Phase::Stopped,
            "Finished" => Phase::Finished,
            "Failed" => Phase::Failed,
            "Stopping" | "CheckpointStopping" | "Finishing" | "Failing" => Phase::Ending,
            // Also of states that a later Arroyo has.
            _ => Phase::Starting,
        }
    }

    /// Why it failed.
    pub fn failure(&self) -> &str {
        let reason = self.failure_reason.as_ref().map(|reason| &reason.error);
        match reason.or(self.failure_message.as_ref()) {
            Some(reason) => reason.trim(),
            None => "no reason is given",
        }
    }
}

/// What the states of a job come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It does not run yet, or not at the moment.
    Starting,
    Running,
    /// It will be one of the following soon.
    Ending,
    Stopped,
    Finished,
    Failed,
}

impl Phase {
    pub fn is_terminal(self) -> bool {
        matches!(self, Phase::Stopped | Phase::Finished | Phase::Failed)
    }
}

#[derive(Deserialize)]
pub(super) struct Checkpoint {
    pub epoch: u64,
    /// Microseconds since 1970.
    pub start_time: u64,
    /// `None`: it is being written.
    pub finish_time: Option<u64>,
}

#[derive(Deserialize)]
pub(super) struct JobError {
    pub id: String,
    pub message: String,
    #[serde(default)]
    pub details: String,
    #[serde(default)]
    pub operator_id: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct OperatorMetrics {
    pub node_id: u64,
    pub metric_groups: Vec<MetricGroup>,
}

#[derive(Deserialize)]
pub(super) struct MetricGroup {
    pub name: String,
    pub subtasks: Vec<SubtaskMetrics>,
}

#[derive(Deserialize)]
pub(super) struct SubtaskMetrics {
    pub metrics: Vec<Metric>,
}

#[derive(Deserialize)]
pub(super) struct Metric {
    pub value: f64,
}

/// All of a collection.
#[derive(Deserialize)]
pub(super) struct Listed<T> {
    pub data: Vec<T>,
}

/// A page of a collection.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page<T> {
    pub data: Vec<T>,
    pub has_more: bool,
}

/// The body of an answer that is no success.
#[derive(Deserialize)]
pub(super) struct ErrorBody {
    pub error: String,
}
