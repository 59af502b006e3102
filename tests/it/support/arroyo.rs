//! A server on loopback that answers as an Arroyo cluster's REST API does, field by field (0.16-dev, August 2026), and
//! misbehaves when told to. It is stricter than Arroyo: a field that Arroyo does not know is refused too.
//!
//! No clock: the state of a job goes one step on each time that somebody asks for it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// Pipelines of a page, as in Arroyo.
const PAGE: usize = 10;
/// When everything was created, microseconds.
const CREATED_AT: u64 = 1_785_000_000_000_000;

/// A cluster.
pub struct FakeArroyo {
    pub port: u16,
    world: Arc<Mutex<World>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What came in.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// Below `/api/v1`.
    pub path: String,
    pub body: Value,
}

/// A way to misbehave, once.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// This status and body instead of doing anything.
    Answer(u16, &'static str),
    /// It is done, and the answer breaks off.
    LoseAnswer,
    /// It is done, after so long.
    Late(Duration),
}

#[derive(Default)]
pub struct World {
    pub pipelines: Vec<FakePipeline>,
    pub asked: Vec<Asked>,
    /// What requests have to bring; `None`: nothing.
    pub token: Option<String>,
    /// Errors of the next validations.
    pub faults: Vec<Value>,
    /// Method, what the path ends with, and what happens then.
    pub troubles: Vec<(&'static str, &'static str, Trouble)>,
    /// New jobs fail with this instead of running.
    pub fails_with: Option<String>,
    /// What `/errors` has, the newest first.
    pub errors: Vec<Value>,
    /// Whether a stop goes on; otherwise it stays in CheckpointStopping.
    pub stops: bool,
    /// Whether a cluster creates what it is asked to.
    pub refuses_to_create: bool,
}

#[derive(Debug, Clone)]
pub struct FakePipeline {
    pub id: String,
    pub name: String,
    pub query: String,
    pub parallelism: u64,
    pub interval: u64,
    pub stop: String,
    pub state: String,
    pub run_id: u64,
    pub failure: Option<String>,
    /// States to come, one for each look.
    pub next: VecDeque<&'static str>,
    pub epoch: u64,
}

impl FakePipeline {
    /// One that is in this state.
    pub fn new(id: &str, name: &str, query: &str, state: &str) -> FakePipeline {
        FakePipeline {
            id: id.to_owned(),
            name: name.to_owned(),
            query: query.to_owned(),
            parallelism: 4,
            interval: 10_000_000,
            stop: match state {
                "Stopped" | "CheckpointStopping" => "checkpoint".to_owned(),
                _ => "none".to_owned(),
            },
            state: state.to_owned(),
            run_id: 1,
            failure: None,
            next: VecDeque::new(),
            epoch: 3,
        }
    }

    fn begin(&mut self, fails_with: Option<String>) {
        self.run_id += 1;
        self.next = ["Compiling", "Scheduling"].into();
        match fails_with {
            Some(why) => {
                self.next.extend(["Failing", "Failed"]);
                self.failure = Some(why);
            }
            None => self.next.push_back("Running"),
        }
    }

    fn step(&mut self) {
        if let Some(state) = self.next.pop_front() {
            self.state = state.to_owned();
        } else if self.state == "Running" {
            self.epoch += 1;
        }
    }

    fn is_ended(&self) -> bool {
        ["Stopped", "Finished", "Failed"].contains(&self.state.as_str())
    }

    fn graph(&self) -> Value {
        let node = |id: u32, operator: &str, description: &str| json!({"node_id": id, "operator": operator, "description": description, "parallelism": self.parallelism});
        let edge = |from: u32, to: u32| json!({"src_id": from, "dest_id": to, "key_type": "()", "value_type": "()", "edge_type": "Shuffle"});
        json!({
            "nodes": [node(1, "ConnectorSource", "KafkaSource<raw_ticks>"), node(2, "TumblingWindowAggregate", "window"), node(3, "ConnectorSink", "FileSystem")],
            "edges": [edge(1, 2), edge(2, 3)],
        })
    }

    fn json(&self) -> Value {
        json!({
            "id": self.id, "name": self.name, "query": self.query, "udfs": [],
            "checkpoint_interval_micros": self.interval, "stop": self.stop, "created_at": CREATED_AT,
            "action": "checkpoint", "action_text": "Stop", "action_in_progress": false, "graph": self.graph(),
            "preview": false, "state_url": null, "tags": {},
        })
    }

    fn job(&self) -> Value {
        let failure = self.failure.as_ref().filter(|_| self.state == "Failed");
        json!({
            "id": format!("job_of_{}", self.id), "pipeline_id": self.id, "running_desired": self.stop == "none",
            "state": self.state, "run_id": self.run_id, "start_time": CREATED_AT,
            "finish_time": self.is_ended().then_some(CREATED_AT + 60_000_000), "tasks": 3 * self.parallelism,
            "failure_reason": failure.map(|error| json!({"error": error, "domain": "user"})),
            "created_at": CREATED_AT, "scheduler_config": {}, "env_vars": {},
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ValidateQueryPost {
    query: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PipelinePost {
    name: String,
    query: String,
    parallelism: u64,
    checkpoint_interval_micros: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PipelinePatch {
    parallelism: Option<u64>,
    checkpoint_interval_micros: Option<u64>,
    stop: Option<StopType>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StopType {
    None,
    Checkpoint,
    Graceful,
    Immediate,
    Force,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PipelineRestart {
    force: Option<bool>,
    ignore_state: Option<bool>,
}

impl FakeArroyo {
    pub fn start() -> FakeArroyo {
        let world = Arc::new(Mutex::new(World {
            stops: true,
            ..World::default()
        }));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, stopped) = oneshot::channel();
        let app = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&world));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    served = async { axum::serve(listener, app).await } => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        FakeArroyo {
            port,
            world,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub fn master(&self) -> String {
        format!("arroyo://127.0.0.1:{}", self.port)
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// What came in with this method, at a path with this end.
    pub fn asked(&self, method: &str, end: &str) -> Vec<Asked> {
        let world = self.world();
        let asked = (world.asked.iter()).filter(|asked| {
            asked.method == method && asked.path.split('?').next().unwrap().ends_with(end)
        });
        asked.cloned().collect()
    }

    pub fn pipeline(&self, id: &str) -> FakePipeline {
        let world = self.world();
        let found = world.pipelines.iter().find(|pipeline| pipeline.id == id);
        found
            .unwrap_or_else(|| panic!("no {id}: {:?}", world.pipelines))
            .clone()
    }
}

impl Drop for FakeArroyo {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type Answer = Result<Value, (StatusCode, String)>;

async fn answer(
    State(world): State<Arc<Mutex<World>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(path) = uri.path().strip_prefix("/api/v1") else {
        return (StatusCode::NOT_FOUND, "404").into_response();
    };
    let trouble = {
        let mut world = world.lock().unwrap();
        let query = uri
            .query()
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        world.asked.push(Asked {
            method: method.to_string(),
            path: format!("{path}{query}"),
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        });
        let wanted = world.token.as_ref().map(|token| format!("Bearer {token}"));
        let brought = headers
            .get("authorization")
            .map(|value| value.to_str().unwrap());
        if wanted.is_some() && wanted.as_deref() != brought {
            let body = json!({"error": "Unauthorized"});
            return (StatusCode::UNAUTHORIZED, Json(body)).into_response();
        }
        let found = (world.troubles.iter())
            .position(|(when, end, _)| *when == method.as_str() && path.ends_with(end));
        found.map(|found| world.troubles.remove(found).2)
    };
    if let Some(Trouble::Answer(status, body)) = trouble {
        return (StatusCode::from_u16(status).unwrap(), body).into_response();
    }
    if let Some(Trouble::Late(late)) = trouble {
        tokio::time::sleep(late).await;
    }
    let answered = world
        .lock()
        .unwrap()
        .act(&method, path, &uri, &headers, &body);
    if let Some(Trouble::LoseAnswer) = trouble {
        let broken =
            futures::stream::iter([Ok(Bytes::from("{")), Err(std::io::Error::other("lost"))]);
        return Response::new(Body::from_stream(broken));
    }
    match answered {
        Ok(answer) => Json(answer).into_response(),
        Err((status, error)) => (status, Json(json!({"error": error}))).into_response(),
    }
}

impl World {
    fn act(
        &mut self,
        method: &Method,
        path: &str,
        uri: &Uri,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Answer {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (method.as_str(), parts.as_slice()) {
            ("POST", ["pipelines", "validate_query"]) => {
                let ValidateQueryPost { query } = read(headers, body)?;
                assert!(!query.is_empty());
                Ok(match self.faults.is_empty() {
                    true => {
                        json!({"graph": FakePipeline::new("", "", "", "").graph(), "errors": []})
                    }
                    false => json!({"graph": null, "errors": self.faults}),
                })
            }
            ("POST", ["pipelines"]) => {
                let wanted: PipelinePost = read(headers, body)?;
                self.create(wanted)
            }
            ("GET", ["pipelines"]) => self.list(uri.query().unwrap_or_default()),
            ("GET", ["pipelines", id]) => Ok(self.find(id)?.json()),
            ("PATCH", ["pipelines", id]) => {
                let patch: PipelinePatch = read(headers, body)?;
                self.patch(id, patch)
            }
            ("POST", ["pipelines", id, "restart"]) => {
                let PipelineRestart {
                    force,
                    ignore_state,
                } = read(headers, body)?;
                assert_ne!((force, ignore_state), (Some(true), Some(true)));
                let fails_with = self.fails_with.clone();
                let pipeline = self.find(id)?;
                if pipeline.state == "Failed" {
                    pipeline.begin(fails_with);
                    // The controller looks at it only later.
                    pipeline.run_id -= 1;
                    pipeline.next.push_front("Failed");
                }
                Ok(pipeline.json())
            }
            ("GET", ["pipelines", id, "jobs"]) => {
                let pipeline = self.find(id)?;
                pipeline.step();
                Ok(json!({"data": [pipeline.job()]}))
            }
            ("GET", ["pipelines", id, "jobs", job, what]) => {
                let errors = self.errors.clone();
                let pipeline = self.find(id)?.clone();
                if format!("job_of_{id}") != **job {
                    return Err((StatusCode::NOT_FOUND, "Job not found".to_owned()));
                }
                match *what {
                    "checkpoints" => Ok(json!({"data": checkpoints(pipeline.epoch)})),
                    "errors" => Ok(json!({"data": errors, "hasMore": false})),
                    "operator_metric_groups" => Ok(json!({"data": metrics()})),
                    _ => Err((StatusCode::NOT_FOUND, "Route not found".to_owned())),
                }
            }
            _ => Err((StatusCode::NOT_FOUND, "Route not found".to_owned())),
        }
    }

    fn find(&mut self, id: &str) -> Result<&mut FakePipeline, (StatusCode, String)> {
        let found = self.pipelines.iter_mut().find(|pipeline| pipeline.id == id);
        found.ok_or((StatusCode::NOT_FOUND, "Pipeline not found".to_owned()))
    }

    fn create(&mut self, wanted: PipelinePost) -> Answer {
        let interval = wanted.checkpoint_interval_micros.unwrap_or(10_000_000);
        let refusal = match () {
            () if self.refuses_to_create => "Failed to plan query:\n * no room",
            () if wanted.name.is_empty() => "Field name must be set",
            () if !(1_000_000..=86_400_000_000).contains(&interval) => {
                "Checkpoint_interval_micros must be between 1 second and 1 day."
            }
            () => "",
        };
        if !refusal.is_empty() {
            return Err((StatusCode::BAD_REQUEST, refusal.to_owned()));
        }
        let id = format!("pl_{}", self.pipelines.len() + 1);
        let mut pipeline = FakePipeline::new(&id, &wanted.name, &wanted.query, "Created");
        (pipeline.parallelism, pipeline.interval) = (wanted.parallelism, interval);
        pipeline.begin(self.fails_with.clone());
        self.pipelines.push(pipeline);
        Ok(self.pipelines[self.pipelines.len() - 1].json())
    }

    fn list(&self, query: &str) -> Answer {
        let parameter = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let limit: usize = parameter("limit").map_or(PAGE, |limit| limit.parse().unwrap());
        let after = parameter("starting_after");
        let newest_first: Vec<&FakePipeline> = self.pipelines.iter().rev().collect();
        let begin = match after {
            Some(after) => {
                newest_first
                    .iter()
                    .position(|pipeline| pipeline.id == after)
                    .unwrap()
                    + 1
            }
            None => 0,
        };
        // A small page, whatever is asked for, so that there are several.
        let page = &newest_first[begin..newest_first.len().min(begin + limit.min(3))];
        let data: Vec<Value> = page.iter().map(|pipeline| pipeline.json()).collect();
        Ok(json!({"data": data, "hasMore": begin + page.len() < newest_first.len()}))
    }

    fn patch(&mut self, id: &str, patch: PipelinePatch) -> Answer {
        let (stops, fails_with) = (self.stops, self.fails_with.clone());
        let pipeline = self.find(id)?;
        if let Some(parallelism) = patch.parallelism {
            pipeline.parallelism = parallelism;
        }
        if let Some(interval) = patch.checkpoint_interval_micros {
            pipeline.interval = interval;
        }
        match patch.stop {
            Some(StopType::Checkpoint) => {
                pipeline.stop = "checkpoint".to_owned();
                if !pipeline.is_ended() {
                    pipeline.next = ["CheckpointStopping"].into();
                    if stops {
                        pipeline.next.push_back("Stopped");
                    }
                }
            }
            Some(StopType::None) => {
                pipeline.stop = "none".to_owned();
                if pipeline.state == "Stopped" {
                    pipeline.begin(fails_with);
                    pipeline.run_id -= 1;
                    // The controller looks at it only later.
                    pipeline.next.push_front("Stopped");
                }
            }
            Some(other) => return Err((StatusCode::BAD_REQUEST, format!("{other:?}"))),
            None => {}
        }
        Ok(pipeline.json())
    }
}

/// A body as axum's `Json` reads it, with its words.
fn read<T: DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> Result<T, (StatusCode, String)> {
    if headers
        .get("content-type")
        .is_none_or(|value| value != "application/json")
    {
        let error = "Expected request with `Content-Type: application/json`";
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, error.to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| match error.is_data() {
        true => (
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("Failed to deserialize the JSON body into the target type: {error}"),
        ),
        false => (
            StatusCode::BAD_REQUEST,
            format!("Failed to parse the request body as JSON: {error}"),
        ),
    })
}

fn checkpoints(newest: u64) -> Vec<Value> {
    let checkpoint = |epoch: u64| {
        let start = CREATED_AT + epoch * 10_000_000;
        let finish = (epoch < newest).then_some(start + 321_000);
        json!({"epoch": epoch, "backend": "parquet", "checkpoint_type": "scheduled", "start_time": start, "finish_time": finish, "events": []})
    };
    (1..=newest).map(checkpoint).collect()
}

fn metrics() -> Value {
    let group = |name: &str, values: [f64; 2]| {
        let subtask = |index: usize, value: f64| json!({"index": index, "metrics": [{"time": CREATED_AT, "value": 1.0}, {"time": CREATED_AT + 1, "value": value}]});
        json!({"name": name, "subtasks": [subtask(0, values[0]), subtask(1, values[1])]})
    };
    json!([
        {"node_id": 1, "metric_groups": [group("messages_sent", [1000.0, 234.0]), group("messages_recv", [0.0, 0.0]), group("backpressure", [0.1, 0.75])]},
        {"node_id": 2, "metric_groups": [group("messages_sent", [7.0, 8.0])]},
        {"node_id": 3, "metric_groups": [group("messages_recv", [2.0, 5.0])]},
    ])
}
