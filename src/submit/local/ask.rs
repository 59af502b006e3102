//! What the page of a running job says.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::config::secret::Secret;

/// How long a job may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Bytes of an answer at the most.
const LONGEST_ANSWER: u64 = 4 << 20;

/// The job's state, as `/api/v1/job` of its page says it.
///
/// # Errors
/// Nobody answers, or not with what a page of ours says.
pub fn job(page: &str, token: Option<&Secret>) -> io::Result<Value> {
    let mut address: SocketAddr = page.parse().map_err(io::Error::other)?;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let token = token.map(|token| format!("Authorization: Bearer {}\r\n", token.reveal()));
    let request = format!(
        "GET /api/v1/job HTTP/1.0\r\nHost: {address}\r\n{}\r\n",
        token.unwrap_or_default()
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(LONGEST_ANSWER).read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| io::Error::other("the answer is cut off"))?;
    match head.split_whitespace().nth(1) {
        Some("200") => serde_json::from_str(body).map_err(io::Error::other),
        Some("401") => Err(io::Error::other(
            "it asks for a token: set STOCKPULSE_JOB_TOKEN",
        )),
        code => Err(io::Error::other(format!(
            "it answers {}",
            code.unwrap_or("nothing")
        ))),
    }
}
