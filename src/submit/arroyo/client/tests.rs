//! What a client makes of servers that are none of Arroyo's, or not at their best.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::config::ingest::ArroyoSettings;
use crate::config::secret::Secret;

const JOBS: &str = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"data\":[]}";

/// A client of a server that gives each connection the next of these answers, then the last for ever; and how many
/// connections came.
async fn client(answers: &'static [&'static str]) -> (Client, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let came = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&came);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let number = count.fetch_add(1, Ordering::SeqCst);
            let answer = answers[number.min(answers.len() - 1)];
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                if answer.is_empty() {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    (limited(&url), came)
}

fn limited(url: &str) -> Client {
    let cluster = Cluster {
        master: "arroyo://test".to_owned(),
        url: url.to_owned(),
        token: Some(Secret::new("hush")),
        settings: ArroyoSettings::default(),
    };
    let pauses = [Duration::from_millis(1); 2];
    Client::with_limits(&cluster, Duration::from_millis(300), &pauses).unwrap()
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(future)
}

fn new_pipeline() -> NewPipeline<'static> {
    NewPipeline {
        name: "a",
        query: "b",
        parallelism: 1,
        checkpoint_interval_micros: None,
    }
}

#[test]
fn a_server_in_trouble_is_asked_again_so_often_and_no_more() {
    block_on(async {
        const TROUBLE: &str =
            "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let (client, came) = client(&[TROUBLE, "HTTP/1.1 500 a\r\n\r\n", JOBS]).await;
        assert!(client.checkpoints("a", "b").await.unwrap().is_empty());
        assert_eq!(came.load(Ordering::SeqCst), 3);
        let (client, came) = self::client(&[TROUBLE]).await;
        let error = client.job("a").await.unwrap_err();
        assert_eq!(came.load(Ordering::SeqCst), 3);
        assert_eq!(error.exit(), Exit::KafkaUnreachable);
        assert!(error.to_string().contains("502 Bad Gateway"), "{error}");
    });
}

#[test]
fn a_pipeline_is_not_created_twice_where_the_first_may_have_worked() {
    block_on(async {
        for answer in [
            "",
            "HTTP/1.1 500 a\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{",
        ] {
            let answers: &'static [&'static str] = Box::leak(Box::new([answer]));
            let (client, came) = client(answers).await;
            let error = client.create(&new_pipeline()).await.map(drop).unwrap_err();
            assert!(
                matches!(
                    error,
                    ClusterError::Unreachable {
                        perhaps_done: true,
                        ..
                    }
                ),
                "{error}"
            );
            assert_eq!(came.load(Ordering::SeqCst), 1, "{answer}");
        }
    });
}

#[test]
fn what_is_not_arroyo_is_said_to_be_none() {
    block_on(async {
        for answer in [
            "HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n<html>hi</html>",
            "HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{\"data\":[1]}",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\n\r\n404",
            "HTTP/1.1 301 Moved\r\nlocation: https://example.com\r\ncontent-length: 0\r\n\r\n",
        ] {
            let answers: &'static [&'static str] = Box::leak(Box::new([answer]));
            let (client, came) = client(answers).await;
            let error = client.job("a").await.unwrap_err();
            assert!(
                matches!(error, ClusterError::Other { .. }),
                "{answer}: {error}"
            );
            assert_eq!(came.load(Ordering::SeqCst), 1, "{answer}");
        }
    });
}

#[test]
fn whoever_does_not_answer_is_not_waited_for_without_end_and_the_token_is_not_shown() {
    block_on(async {
        let (client, _) = client(&[""]).await;
        let error = client.job("a").await.unwrap_err().to_string();
        assert!(error.contains("it does not answer in time"), "{error}");
        let (client, _) = self::client(&["SSH-2.0-OpenSSH\r\n"]).await;
        let error = client.job("a").await.unwrap_err().to_string();
        assert!(error.contains("cannot be reached"), "{error}");
        let free = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap();
        let error = limited(&format!("http://{free}"))
            .job("a")
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("is it running"), "{error}");
        assert!(!error.contains("hush"), "{error}");
    });
}

#[test]
fn a_token_that_no_header_can_hold_is_said_to_be_one() {
    block_on(async {
        let (client, _) = client(&[JOBS]).await;
        let mut client = client;
        client.cluster.token = Some(Secret::new("hush\n"));
        let error = client.job("a").await.unwrap_err();
        assert_eq!(error.exit(), Exit::Usage);
        assert!(
            !error.to_string().contains("hush") && error.to_string().contains("ARROYO_TOKEN"),
            "{error}"
        );
    });
}
