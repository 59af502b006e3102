//! Where a job runs: in this process, or on an Arroyo cluster.

use super::arroyo::{ArroyoSettings, settings};
use super::properties::Properties;
use super::resources::{Cores, MOST_THREADS};
use super::{UsageError, known};
use crate::config::secret::Secret;

/// The token that an Arroyo cluster asks for; from the environment only, since a command line is public.
const ARROYO_TOKEN: &str = "ARROYO_TOKEN";
/// The port of Arroyo's REST API, unless told otherwise.
const ARROYO_PORT: u16 = 5115;

/// Where a job runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Master {
    /// In this process.
    Local {
        /// Worker threads, 1 and more.
        threads: usize,
    },
    /// On an Arroyo cluster.
    Arroyo(Cluster),
}

/// An Arroyo cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its address as given, such as `arroyo://localhost:5115`.
    pub master: String,
    /// Where its REST API and console are, such as `http://localhost:5115`.
    pub url: String,
    /// What every request brings as a bearer token; `None`: nothing.
    pub token: Option<Secret>,
    /// How a pipeline is to be run there.
    pub settings: ArroyoSettings,
}

impl Master {
    /// Worker threads of this process.
    pub fn threads(&self) -> usize {
        match self {
            Master::Local { threads } => *threads,
            Master::Arroyo(_) => 1,
        }
    }
}

/// `--master`, else `spark.master`, else `local[*]`, which is `cores` where they are given, else `cpus` threads.
pub(super) fn master(
    flag: Option<&str>,
    properties: &Properties,
    environment: &dyn Fn(&str) -> Option<String>,
    cpus: usize,
    cores: Option<&Cores>,
    warnings: &mut Vec<String>,
) -> Result<Master, UsageError> {
    let property = properties.get(known::MASTER);
    let master = flag
        .or(property.as_ref().map(|property| property.value))
        .unwrap_or("local[*]")
        .trim();
    if let Some((scheme @ ("arroyo" | "arroyos"), address)) = master.split_once("://") {
        let scheme = match scheme {
            "arroyo" => "http",
            _ => "https",
        };
        let token = environment(ARROYO_TOKEN).filter(|token| !token.is_empty());
        return Ok(Master::Arroyo(Cluster {
            master: master.to_owned(),
            url: format!(
                "{scheme}://{}",
                host_and_port(address).ok_or_else(|| wrong_address(master))?
            ),
            token: token.map(Secret::new),
            settings: settings(properties, environment)?,
        }));
    }
    // Spark's second number, how often a task may fail, has no meaning here: a job has no tasks.
    let master = match master.split_once(',') {
        Some((threads, failures))
            if failures.trim_end_matches(']').trim().parse::<u32>().is_ok() =>
        {
            &format!("{threads}]")
        }
        _ => master,
    };
    if master == "local[*]" {
        let threads = cores.map_or(cpus.clamp(1, MOST_THREADS), |cores| cores.threads);
        return Ok(Master::Local { threads });
    }
    let threads = match master {
        "local" => Some(1),
        _ => master
            .strip_prefix("local[")
            .and_then(|rest| rest.strip_suffix(']'))
            .and_then(|number| number.trim().parse().ok())
            .filter(|number| (1..=MOST_THREADS).contains(number)),
    };
    let Some(threads) = threads else {
        return Err(UsageError(wrong_master(master)));
    };
    if let Some(cores) = cores.filter(|cores| cores.threads != threads) {
        warnings.push(format!(
            "{} has no effect beside --master {master}; it counts where that is local[*], or is not given",
            cores.said
        ));
    }
    Ok(Master::Local { threads })
}

/// `host`, `host:port` or `[v6]:port`, with Arroyo's port where none is given.
fn host_and_port(address: &str) -> Option<String> {
    let address = address.strip_suffix('/').unwrap_or(address);
    let has_port = address
        .rfind(':')
        .is_some_and(|colon| !address[colon..].contains(']'));
    let address = match has_port {
        true => address.to_owned(),
        false => format!("{address}:{ARROYO_PORT}"),
    };
    let (host, port) = address.rsplit_once(':')?;
    let is_host = !host.is_empty() && !host.contains(['/', '@', '?', '#', ' ']);
    (is_host && port.parse::<u16>().is_ok_and(|port| port > 0)).then_some(address)
}

fn wrong_address(master: &str) -> UsageError {
    // Deliberately without the address where it holds a password.
    let shown = match master.contains('@') {
        true => "--master arroyo://…@…: the token goes into the environment, as ARROYO_TOKEN;"
            .to_owned(),
        false => format!("--master {master}:"),
    };
    UsageError(format!(
        "{shown} an Arroyo cluster is arroyo://HOST:PORT, or arroyos://HOST:PORT over TLS, with the port of its REST API ({ARROYO_PORT})"
    ))
}

fn wrong_master(master: &str) -> String {
    let kind = master.split([':', '-']).next().unwrap_or_default();
    match kind {
        "spark" | "yarn" | "k8s" | "mesos" => format!(
            "--master {master}: StockPulse is no Spark program and needs no cluster; it runs in this \
             process: --master local[*] for a thread on each CPU, or local[N]"
        ),
        _ => format!(
            "--master {master}: it is local[N] for N threads (1 to {MOST_THREADS}), local[*] for one on \
             each CPU, local for one, or arroyo://HOST:PORT for an Arroyo cluster"
        ),
    }
}
