//! The binary as a user runs it: signals, exit codes, what it says and what it must not say.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use tempfile::TempDir;

use super::TICKS;
use crate::support::broker::{PATIENCE, TestBroker};
use crate::support::speech::Speech;
use crate::support::venue::FakeVenue;

/// Nothing listens there.
pub(super) const NOBODY: &str = "127.0.0.1:1";

/// A run in a directory of its own and with no environment but its own.
pub(super) struct Run {
    dir: TempDir,
    command: Command,
}

/// How a run ended, and everything it said.
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) said: String,
}

impl Run {
    pub(super) fn new(arguments: &[&str]) -> Run {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_stockpulse-producer"));
        command
            .args(arguments)
            .env_clear()
            .current_dir(dir.path())
            .stdin(Stdio::null());
        Run { dir, command }
    }

    pub(super) fn env(mut self, name: &str, value: &str) -> Run {
        self.command.env(name, value);
        self
    }

    fn dotenv(self, content: &str) -> Run {
        std::fs::write(self.dir.path().join(".env"), content).unwrap();
        self
    }

    pub(super) fn end(mut self) -> Ended {
        let output = self.command.output().unwrap();
        Ended::new(output.status, &[output.stdout, output.stderr].concat())
    }

    pub(super) fn start(&mut self) -> Started {
        let child = self
            .command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Started(Some(child.unwrap()))
    }
}

impl Ended {
    fn new(status: ExitStatus, said: &[u8]) -> Ended {
        Ended {
            code: status.code(),
            said: String::from_utf8_lossy(said).to_string(),
        }
    }

    /// The value of a field in what was said last about it.
    fn field(&self, name: &str) -> u64 {
        let at = self
            .said
            .rfind(&format!("{name}="))
            .unwrap_or_else(|| panic!("{}", self.said));
        let digits = self.said[at + name.len() + 1..]
            .chars()
            .take_while(char::is_ascii_digit);
        digits.collect::<String>().parse().unwrap()
    }
}

/// A run under way; it is killed if the test fails before it ended.
pub(super) struct Started(Option<Child>);

impl Started {
    /// The process itself, which the caller ends.
    pub(super) fn into_child(mut self) -> Child {
        self.0.take().unwrap()
    }

    fn child(&mut self) -> &mut Child {
        self.0.as_mut().unwrap()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([
                format!("-{name}"),
                self.0.as_ref().unwrap().id().to_string(),
            ])
            .status();
        assert!(sent.unwrap().success());
    }

    fn end(mut self) -> Ended {
        let child = self.child();
        let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let mut said = Vec::new();
        std::io::copy(&mut stdout, &mut said).unwrap();
        std::io::copy(&mut stderr, &mut said).unwrap();
        Ended::new(self.child().wait().unwrap(), &said)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // Fails when it has ended, which is what we want.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn a_signal_delivers_what_was_accepted_and_ends_with_0() {
    for signal in ["TERM", "INT"] {
        let broker = TestBroker::start(2);
        let mut run = Run::new(&["--feed", "simulated", "--symbols", "all", "--rate", "20000"])
            .env("KAFKA_BROKER", &broker.bootstrap)
            .env("KAFKA_TOPIC", &broker.topic);
        let started = run.start();
        broker.read_until(|stored| stored.len() >= 200);
        started.signal(signal);
        let ended = started.end();
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        let stored = broker.read_all().len() as u64;
        assert_eq!(ended.field("messages_delivered"), stored, "{}", ended.said);
        assert_eq!(ended.field("messages_failed"), 0);
    }
}

#[test]
fn a_replay_ends_with_0_when_everything_is_delivered() {
    let broker = TestBroker::start(2);
    let ticks = Path::new(env!("CARGO_MANIFEST_DIR")).join(TICKS);
    let ended = Run::new(&["--feed", "replay", "--file", ticks.to_str().unwrap()])
        .env("KAFKA_BROKER", NOBODY)
        .env("KAFKA_TOPIC", &broker.topic)
        .env(
            "KAFKA_PROPERTIES",
            &format!("bootstrap.servers={}", broker.bootstrap),
        )
        .end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(ended.field("ticks_delivered"), 12_477);
    assert_eq!(broker.read_all().len(), 7_349);
}

#[test]
fn an_unreachable_broker_is_named_and_ends_with_4() {
    let started = Instant::now();
    let ended = Run::new(&[
        "--feed",
        "simulated",
        "--kafka-broker",
        NOBODY,
        "--kafka-wait",
        "1",
    ])
    .end();
    assert_eq!(ended.code, Some(4), "{}", ended.said);
    assert!(
        ended.said.contains(&format!(
            "Kafka at {NOBODY} could not be reached within 1 s"
        )),
        "{}",
        ended.said
    );
    assert!(ended.said.contains("KAFKA_BROKER"), "{}", ended.said);
    assert!(started.elapsed() < PATIENCE);
}

#[test]
fn a_wrong_property_is_named_and_ends_with_2() {
    let wrong = [
        ("spark.kafka.no.such=hunter2", "no.such"),
        ("spark.kafka.linger.ms=soon", "linger.ms"),
        ("spark.kafka.ssl.key.pem.x=hunter2", "ssl.key.pem.x"),
        ("spark.app.name=x", "spark.app.name"),
        ("nonsense", "name=value"),
    ];
    for (conf, named) in wrong {
        let ended = Run::new(&["--feed", "simulated", "--conf", conf]).end();
        assert_eq!(ended.code, Some(2), "{}", ended.said);
        assert!(
            ended.said.contains(named) && !ended.said.contains("hunter2"),
            "{}",
            ended.said
        );
    }
    let ended = Run::new(&["--feed", "simulated"])
        .env("KAFKA_PROPERTIES", "hunter2")
        .end();
    assert_eq!(ended.code, Some(2), "{}", ended.said);
    assert!(ended.said.contains("KAFKA_PROPERTIES: entry 1") && !ended.said.contains("hunter2"));
}

#[test]
fn wrong_usage_says_what_to_write_and_ends_with_2() {
    let wrong: [(&[&str], &str); 7] = [
        (&["--feed", "finnhub"], "FINNHUB_TOKEN"),
        (&["--feed", "nasdaq"], "kraken, simulated, replay"),
        (&["--feed", "replay"], "--file"),
        (
            &[
                "--feed",
                "replay",
                "--file",
                "no/such.ndjson",
                "--kafka-wait",
                "0",
            ],
            "no/such.ndjson",
        ),
        (&["--feed", "simulated", "--rate", "-1"], "--rate -1"),
        (
            &["--feed", "simulated", "--kafka-topic", "a b"],
            "KAFKA_TOPIC",
        ),
        (&["--no-such-flag"], "--no-such-flag"),
    ];
    let broker = TestBroker::start(1);
    for (arguments, named) in wrong {
        let ended = Run::new(arguments)
            .env("KAFKA_BROKER", &broker.bootstrap)
            .end();
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.said);
        assert!(ended.said.contains(named), "{arguments:?}: {}", ended.said);
    }
}

#[test]
fn the_environment_beats_dotenv_and_a_flag_beats_both() {
    let named = |run: Run| {
        let ended = run.end();
        assert_eq!(ended.code, Some(2), "{}", ended.said);
        ended.said
    };
    let flags = ["--feed", "simulated"];
    // What is wrong is told in this order: symbols, broker, topic.
    let dotenv = "SYMBOL_LIST=' , '\nKAFKA_BROKER=:\nKAFKA_TOPIC=from/dotenv\n";
    assert!(named(Run::new(&flags).dotenv(dotenv)).contains("SYMBOL_LIST"));
    let run = Run::new(&flags).dotenv(dotenv).env("SYMBOL_LIST", "A");
    assert!(named(run).contains("KAFKA_BROKER"));
    let run = Run::new(&["--feed", "simulated", "--kafka-broker", "localhost"])
        .dotenv(dotenv)
        .env("SYMBOL_LIST", "A")
        .env("KAFKA_BROKER", ":");
    assert!(named(run).contains("KAFKA_TOPIC"));
    let said = named(Run::new(&flags).dotenv("FINNHUB_TOKEN=hunter2 hunter3 'x\n"));
    assert!(said.contains(".env") && !said.contains("hunter"), "{said}");
}

/// At the most talkative log level too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_what_it_says() {
    let broker = TestBroker::start(1);
    let mut server = FakeVenue::start(Speech::Finnhub, vec![]).await;
    let mut run = Run::new(&[
        "--verbose",
        "--conf",
        "spark.kafka.ssl.key.password=hunter3",
    ])
    .env("FINNHUB_TOKEN", "hunter1")
    .env("FINNHUB_URL", &server.url())
    .env("KAFKA_BROKER", &broker.bootstrap)
    .env("KAFKA_TOPIC", &broker.topic)
    .env(
        "KAFKA_PROPERTIES",
        r"sasl.password=hunter2\,hunter2,debug=all",
    )
    .env("STOCKPULSE_LOG", "trace");
    let started = run.start();
    let _killed_at_the_end = KilledAtTheEnd(started.0.as_ref().unwrap().id());
    let said = tokio::task::spawn_blocking(move || started.end_when_told());
    assert_eq!(server.seen().await.path, "/?token=hunter1");
    let ended = said.await.unwrap();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(ended.said.contains("subscribed"), "{}", ended.said);
    assert!(!ended.said.contains("hunter"), "{}", ended.said);
    let help = Run::new(&["--help"])
        .env("FINNHUB_TOKEN", "hunter1")
        .env("KAFKA_PROPERTIES", "sasl.password=hunter2")
        .end();
    assert_eq!(help.code, Some(0));
    assert!(
        help.said.contains("FINNHUB_TOKEN") && !help.said.contains("hunter"),
        "{}",
        help.said
    );
}

/// Kills a process that another thread waits for, should the test fail meanwhile.
struct KilledAtTheEnd(u32);

impl Drop for KilledAtTheEnd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = Command::new("kill")
                .args(["-KILL", &self.0.to_string()])
                .status();
        }
    }
}

impl Started {
    /// Ends it once it has said that it is subscribed; reads on meanwhile, so that it never waits for us.
    fn end_when_told(mut self) -> Ended {
        use std::io::BufRead;
        let mut said = String::new();
        let mut lines = std::io::BufReader::new(self.child().stderr.take().unwrap());
        let mut told = false;
        while lines.read_line(&mut said).unwrap() > 0 {
            if !told && said.contains("subscribed") {
                told = true;
                self.signal("TERM");
            }
        }
        Ended::new(self.child().wait().unwrap(), said.as_bytes())
    }
}
