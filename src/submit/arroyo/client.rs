//! Requests to an Arroyo cluster: with a limit to every wait, tried again where that does no harm.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::api::{
    Change, Checkpoint, ErrorBody, Job, JobError, Listed, NewPipeline, OperatorMetrics, Page,
    Pipeline, Restart, ValidateQuery, Validation,
};
use crate::config::ingest::Cluster;
use crate::feed::trust;
use crate::model::Exit;

/// How long a connection may take to be there.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long an answer may take: a cluster plans the query meanwhile.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// Pauses before what failed is tried again.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];
/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Letters of a cluster's own words that are shown.
const SHOWN_LETTERS: usize = 2000;
/// Pipelines of one page.
const PAGE: usize = 100;
/// Pages that are looked through at the most.
const PAGES_MAX: usize = 1000;
/// Errors of a job that are asked for at a time.
const ERRORS: usize = 20;

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClusterError {
    /// No answer, or only those of a server in trouble.
    #[error("the Arroyo cluster at {url} cannot be reached: {why}")]
    Unreachable {
        url: String,
        why: String,
        /// Whether it may have done what it was asked for.
        perhaps_done: bool,
    },
    #[error(
        "the Arroyo cluster at {url} does not let us in ({status}): set ARROYO_TOKEN in the environment or in .env to a token that it takes"
    )]
    NotLetIn { url: String, status: StatusCode },
    /// It was understood and not done.
    #[error("the Arroyo cluster refuses ({status}): {message}")]
    Refused { status: StatusCode, message: String },
    #[error(
        "what answers at {url} is not Arroyo's REST API: {why}; its port is 5115 unless it was changed"
    )]
    Other { url: String, why: String },
    #[error("{0}")]
    Setting(String),
}

impl ClusterError {
    pub fn exit(&self) -> Exit {
        match self {
            ClusterError::Unreachable { .. } | ClusterError::NotLetIn { .. } => {
                Exit::KafkaUnreachable
            }
            ClusterError::Refused { .. } | ClusterError::Other { .. } => Exit::Failed,
            ClusterError::Setting(_) => Exit::Usage,
        }
    }

    pub fn is_missing(&self) -> bool {
        matches!(self, ClusterError::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
    }
}

/// When a request may be sent again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    /// Twice is as once.
    Whenever,
    /// Only if the cluster cannot have begun with it.
    IfNotBegun,
}

/// A cluster's REST API.
pub(super) struct Client {
    http: reqwest::Client,
    cluster: Cluster,
    pauses: Vec<Duration>,
}

impl Client {
    /// # Errors
    /// A file of certificate authorities that cannot be read.
    pub fn new(cluster: &Cluster) -> Result<Client, ClusterError> {
        Client::with_limits(cluster, ANSWER_LIMIT, &PAUSES)
    }

    fn with_limits(
        cluster: &Cluster,
        answer_limit: Duration,
        pauses: &[Duration],
    ) -> Result<Client, ClusterError> {
        let ca_file = cluster.settings.ca_file.as_deref();
        let trust = trust(ca_file).map_err(|error| ClusterError::Setting(error.to_string()))?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured((*trust).clone())
            .connect_timeout(CONNECT_LIMIT)
            .timeout(answer_limit)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| ClusterError::Setting(root(&error)))?;
        Ok(Client {
            http,
            cluster: cluster.clone(),
            pauses: pauses.to_vec(),
        })
    }

    pub async fn validate(&self, query: &str) -> Result<Validation, ClusterError> {
        let body = ValidateQuery { query };
        self.send(
            Again::Whenever,
            Method::POST,
            "/pipelines/validate_query",
            Some(&body),
        )
        .await
    }

    /// Not sent again once the cluster may have begun with it: see [`ClusterError::Unreachable`].
    pub async fn create(&self, pipeline: &NewPipeline<'_>) -> Result<Pipeline, ClusterError> {
        self.send(
            Again::IfNotBegun,
            Method::POST,
            "/pipelines",
            Some(pipeline),
        )
        .await
    }

    pub async fn change(&self, id: &str, change: &Change) -> Result<Pipeline, ClusterError> {
        self.send(
            Again::Whenever,
            Method::PATCH,
            &format!("/pipelines/{id}"),
            Some(change),
        )
        .await
    }

    /// Lets a failed pipeline go on from its last checkpoint.
    pub async fn restart(&self, id: &str) -> Result<Pipeline, ClusterError> {
        let path = format!("/pipelines/{id}/restart");
        let body = Restart { force: false };
        self.send(Again::IfNotBegun, Method::POST, &path, Some(&body))
            .await
    }

    /// The pipeline of this id; `None`: there is none.
    pub async fn pipeline(&self, id: &str) -> Result<Option<Pipeline>, ClusterError> {
        match self.get(&format!("/pipelines/{id}")).await {
            Ok(pipeline) => Ok(Some(pipeline)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Those of this name, the newest first.
    pub async fn pipelines_named(&self, name: &str) -> Result<Vec<Pipeline>, ClusterError> {
        let mut found: Vec<Pipeline> = Vec::new();
        let mut after = String::new();
        for _ in 0..PAGES_MAX {
            let path = format!("/pipelines?limit={PAGE}{after}");
            let Page { data, has_more }: Page<Pipeline> = self.get(&path).await?;
            let last = data.last().map(|pipeline| pipeline.id.clone());
            found.extend(data.into_iter().filter(|pipeline| pipeline.name == name));
            match last {
                Some(last) if has_more => after = format!("&starting_after={last}"),
                _ => break,
            }
        }
        Ok(found)
    }

    /// The pipeline's job.
    pub async fn job(&self, pipeline: &str) -> Result<Job, ClusterError> {
        let jobs: Listed<Job> = self.get(&format!("/pipelines/{pipeline}/jobs")).await?;
        jobs.data
            .into_iter()
            .next()
            .ok_or_else(|| ClusterError::Refused {
                status: StatusCode::NOT_FOUND,
                message: format!("pipeline {pipeline} has no job"),
            })
    }

    pub async fn checkpoints(
        &self,
        pipeline: &str,
        job: &str,
    ) -> Result<Vec<Checkpoint>, ClusterError> {
        let path = format!("/pipelines/{pipeline}/jobs/{job}/checkpoints");
        Ok(self.get::<Listed<Checkpoint>>(&path).await?.data)
    }

    /// The newest errors, the newest first.
    pub async fn errors(&self, pipeline: &str, job: &str) -> Result<Vec<JobError>, ClusterError> {
        let path = format!("/pipelines/{pipeline}/jobs/{job}/errors?limit={ERRORS}");
        Ok(self.get::<Page<JobError>>(&path).await?.data)
    }

    pub async fn metrics(
        &self,
        pipeline: &str,
        job: &str,
    ) -> Result<Vec<OperatorMetrics>, ClusterError> {
        let path = format!("/pipelines/{pipeline}/jobs/{job}/operator_metric_groups");
        Ok(self.get::<Listed<OperatorMetrics>>(&path).await?.data)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClusterError> {
        self.send(Again::Whenever, Method::GET, path, None::<&()>)
            .await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        again: Again,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ClusterError> {
        let body = (body.map(serde_json::to_vec).transpose()).map_err(|error| {
            ClusterError::Setting(format!("a request cannot be written: {error}"))
        })?;
        let bytes = self.answered(again, method, path, body).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.other(&error.to_string()))
    }

    async fn answered(
        &self,
        again: Again,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Vec<u8>, ClusterError> {
        let mut pauses = self.pauses.iter();
        loop {
            let error = match self.once(&method, path, body.clone()).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => error,
            };
            let ClusterError::Unreachable { perhaps_done, .. } = &error else {
                return Err(error);
            };
            match pauses.next() {
                Some(pause) if again == Again::Whenever || !perhaps_done => {
                    tracing::debug!("{error}; trying again");
                    tokio::time::sleep(*pause).await;
                }
                _ => return Err(error),
            }
        }
    }

    async fn once(
        &self,
        method: &Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Vec<u8>, ClusterError> {
        let url = format!("{}/api/v1{path}", self.cluster.url);
        let mut request = self.http.request(method.clone(), url);
        if let Some(token) = &self.cluster.token {
            request = request.bearer_auth(token.reveal());
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body);
        }
        let mut response = request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) =
            (response.chunk().await).map_err(|error| self.unreachable(&error))?
        {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > ANSWER_BYTES_MAX {
                return Err(self.other(&format!(
                    "its answer is longer than {ANSWER_BYTES_MAX} bytes"
                )));
            }
        }
        match status {
            _ if status.is_success() => Ok(bytes),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(ClusterError::NotLetIn {
                url: self.cluster.url.clone(),
                status,
            }),
            StatusCode::TOO_MANY_REQUESTS => Err(self.in_trouble(status, &bytes, false)),
            // Said before anything was begun: a part of the cluster is not there.
            StatusCode::SERVICE_UNAVAILABLE => Err(self.in_trouble(status, &bytes, false)),
            _ if status.is_server_error() => Err(self.in_trouble(status, &bytes, true)),
            _ if status.is_redirection() => Err(self.other(&format!("it answers {status}"))),
            _ => match said(&bytes) {
                Some(message) => Err(ClusterError::Refused { status, message }),
                None => Err(self.other(&format!("it answers {status}, and not why"))),
            },
        }
    }

    fn in_trouble(&self, status: StatusCode, bytes: &[u8], perhaps_done: bool) -> ClusterError {
        let said = said(bytes)
            .map(|said| format!(": {said}"))
            .unwrap_or_default();
        ClusterError::Unreachable {
            url: self.cluster.url.clone(),
            why: format!("it answers {status}{said}"),
            perhaps_done,
        }
    }

    /// Deliberately without the error's own text, which may have more of the request than its address.
    fn unreachable(&self, error: &reqwest::Error) -> ClusterError {
        if error.is_builder() {
            return ClusterError::Setting(
                "ARROYO_TOKEN or the address has letters that a request cannot have".to_owned(),
            );
        }
        let root = root(error);
        let help = match (error.is_connect(), self.cluster.url.starts_with("https:")) {
            (true, true) if root.contains("certificate") => {
                "; STOCKPULSE_CA_FILE names a file (PEM) of certificate authorities to trust beside the system's"
            }
            (true, true) if root.contains("corrupt message") => {
                "; a cluster without TLS is arroyo://"
            }
            (true, _) => "; is it running, and is this the port of its REST API (5115)?",
            (false, false) if !error.is_timeout() => "; a cluster behind TLS is arroyos://",
            _ => "",
        };
        let why = match error.is_timeout() {
            true => "it does not answer in time".to_owned(),
            false => root,
        };
        ClusterError::Unreachable {
            url: self.cluster.url.clone(),
            why: format!("{why}{help}"),
            perhaps_done: !error.is_connect(),
        }
    }

    fn other(&self, why: &str) -> ClusterError {
        ClusterError::Other {
            url: self.cluster.url.clone(),
            why: why.to_owned(),
        }
    }
}

/// What an answer that is no success says.
fn said(bytes: &[u8]) -> Option<String> {
    let body: ErrorBody = serde_json::from_slice(bytes).ok()?;
    Some(body.error.chars().take(SHOWN_LETTERS).collect())
}

/// The innermost reason.
fn root(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests;
