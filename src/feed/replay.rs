//! Frames from a file, a frame a line, plain or gzip: as fast as they are taken, or at the recorded
//! pace times a factor.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use futures::future::BoxFuture;
use serde::Deserialize;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use super::{FRAME_BYTES_MAX, Feed, FeedError, Frame, Outlet};

/// Lines that are read ahead at most; the reading is blocking and so done elsewhere, by portions.
const PORTION_LINES: usize = 256;
/// Bytes of lines that are read ahead at most, but for the last line.
const PORTION_BYTES: usize = 256 * 1024;
/// A longer step between two event times, milliseconds, is a leap and not a pause.
const LEAP_MS: i64 = 3_600_000;
/// How a gzip file begins.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The feed of one file; it ends with the file.
#[derive(Debug)]
pub struct Replay {
    path: PathBuf,
    speed: Option<f64>,
}

impl Replay {
    /// `speed` is a factor on the recorded pace, above 0; `None` is as fast as frames are taken.
    /// The recorded pace is that of the frames' event times; a frame without one follows at once.
    pub fn new(path: PathBuf, speed: Option<f64>) -> Replay {
        Replay { path, speed }
    }

    /// Whether the file can be read, as far as its beginning tells.
    ///
    /// # Errors
    /// [`FeedError::Refused`] names the file and what the system says.
    pub fn check(&self) -> Result<(), FeedError> {
        Lines::open(&self.path).map(|_| ())
    }

    async fn play(&mut self, outlet: &Outlet) -> Result<(), FeedError> {
        let path = self.path.clone();
        let mut lines = in_background(move || Lines::open(&path)).await?;
        let mut pace = self.speed.map(Pace::new);
        loop {
            let portion;
            (lines, portion) = in_background(move || {
                let portion = lines.portion()?;
                Ok((lines, portion))
            })
            .await?;
            if portion.is_empty() {
                return Ok(());
            }
            for payload in portion {
                if let Some(due) = pace
                    .as_mut()
                    .and_then(|pace| pace.due(&payload, Instant::now()))
                {
                    sleep_until(due).await;
                }
                if !outlet.frame(Frame::new(payload)).await {
                    return Ok(());
                }
            }
        }
    }
}

impl Feed for Replay {
    fn name(&self) -> &'static str {
        "replay"
    }

    fn run<'a>(&'a mut self, outlet: &'a Outlet) -> BoxFuture<'a, Result<(), FeedError>> {
        Box::pin(self.play(outlet))
    }
}

async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FeedError> + Send + 'static,
) -> Result<T, FeedError> {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(FeedError::Failed(format!(
            "reading the file was broken off: {error}"
        ))),
    }
}

/// When which frame is due.
struct Pace {
    speed: f64,
    /// The latest event time so far, and when its frame was due.
    latest: Option<(i64, Instant)>,
}

impl Pace {
    fn new(speed: f64) -> Pace {
        Pace {
            speed,
            latest: None,
        }
    }

    /// A frame that is older than the latest one is due with it. A leap of more than [`LEAP_MS`], either
    /// way, is not waited for: a wrong event time must not hold the replay up.
    fn due(&mut self, payload: &[u8], now: Instant) -> Option<Instant> {
        let event_time_ms = event_time_ms(payload)?;
        let (latest_ms, latest_due) = *self.latest.get_or_insert((event_time_ms, now));
        let step_ms = event_time_ms.saturating_sub(latest_ms);
        let (latest_ms, due) = match step_ms {
            0..=LEAP_MS => {
                let wait = Duration::try_from_secs_f64(step_ms as f64 / 1e3 / self.speed).ok()?;
                (event_time_ms, latest_due.checked_add(wait)?)
            }
            _ if step_ms.saturating_abs() > LEAP_MS => (event_time_ms, latest_due),
            _ => (latest_ms, latest_due),
        };
        self.latest = Some((latest_ms, due));
        Some(due)
    }
}

/// The event time of a frame's first tick, milliseconds since 1970 UTC.
fn event_time_ms(payload: &[u8]) -> Option<i64> {
    #[derive(Deserialize)]
    struct Ticks {
        data: Vec<Tick>,
    }
    #[derive(Deserialize)]
    struct Tick {
        t: i64,
    }
    let ticks: Ticks = serde_json::from_slice(payload).ok()?;
    ticks.data.first().map(|tick| tick.t)
}

/// The lines of a file that may be compressed.
struct Lines {
    reader: Box<dyn BufRead + Send>,
    path: PathBuf,
    line: u64,
    /// What ended the reading; told after the lines before it are.
    failed: Option<FeedError>,
}

impl Lines {
    fn open(path: &Path) -> Result<Lines, FeedError> {
        let refused = |error: io::Error| {
            FeedError::Refused(format!(
                "the replay file {} cannot be read: {error}",
                path.display()
            ))
        };
        let mut file = BufReader::new(File::open(path).map_err(refused)?);
        let gzip = file.fill_buf().map_err(refused)?.starts_with(&GZIP_MAGIC);
        let reader: Box<dyn BufRead + Send> = if gzip {
            Box::new(BufReader::new(MultiGzDecoder::new(file)))
        } else {
            Box::new(file)
        };
        Ok(Lines {
            reader,
            path: path.to_path_buf(),
            line: 0,
            failed: None,
        })
    }

    /// The next lines that are not blank; empty at the end of the file.
    fn portion(&mut self) -> Result<Vec<Bytes>, FeedError> {
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        let (mut portion, mut bytes) = (Vec::new(), 0);
        while portion.len() < PORTION_LINES && bytes < PORTION_BYTES {
            match self.next() {
                Ok(None) => break,
                Ok(Some(line)) if line.trim_ascii().is_empty() => {}
                Ok(Some(line)) => {
                    bytes += line.len();
                    portion.push(Bytes::from(line));
                }
                Err(error) => {
                    let (path, line) = (self.path.display(), self.line + 1);
                    self.failed = Some(FeedError::Failed(format!(
                        "{path}, line {line}: the file cannot be read on: {error}"
                    )));
                    break;
                }
            }
        }
        match self.failed.take() {
            Some(failed) if portion.is_empty() => Err(failed),
            failed => {
                self.failed = failed;
                Ok(portion)
            }
        }
    }

    /// The next line without its end. One that is too long is cut, and so no JSON any more: the
    /// producer counts it.
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let read = (&mut self.reader)
            .take(FRAME_BYTES_MAX as u64)
            .read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if read == FRAME_BYTES_MAX {
            skip_line(&mut self.reader)?;
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(line))
    }
}

fn skip_line(reader: &mut dyn BufRead) -> io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let (length, ended) = match buffer.iter().position(|&byte| byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        reader.consume(length);
        if ended {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    /// Every line of a file of `content`, and how the reading ended.
    fn lines(content: &[u8]) -> (Vec<String>, Option<String>) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let mut lines = Lines::open(file.path()).unwrap();
        let mut all = vec![];
        loop {
            match lines.portion() {
                Ok(portion) if portion.is_empty() => return (all, None),
                Ok(portion) => {
                    all.extend(
                        portion
                            .iter()
                            .map(|line| String::from_utf8_lossy(line).to_string()),
                    );
                }
                Err(error) => return (all, Some(error.to_string())),
            }
        }
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(vec![], Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn lines_are_frames_compressed_or_not() {
        let content = b"{\"a\":1}\n\n  \r\nb\r\nlast";
        let expected = (
            vec!["{\"a\":1}".to_string(), "b".to_string(), "last".to_string()],
            None,
        );
        assert_eq!(lines(content), expected);
        assert_eq!(lines(&gzip(content)), expected);
        let members = [gzip(b"one\n"), gzip(b"two\n")].concat();
        assert_eq!(
            lines(&members),
            (vec!["one".to_string(), "two".to_string()], None)
        );
        assert_eq!(lines(b""), (vec![], None));
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_the_next_is_whole() {
        let content = [&vec![b'x'; FRAME_BYTES_MAX + 7], &b"\nnext\n"[..]].concat();
        let (lines, failed) = lines(&content);
        assert_eq!(
            lines.iter().map(String::len).collect::<Vec<_>>(),
            [FRAME_BYTES_MAX, 4]
        );
        assert_eq!(failed, None);
    }

    #[test]
    fn lines_before_the_damage_are_handed_on() {
        let content: String = (0..5_000)
            .map(|number| format!("{{\"n\":{number}}}\n"))
            .collect();
        let mut damaged = gzip(content.as_bytes());
        damaged.truncate(damaged.len() / 2);
        let (lines, failed) = lines(&damaged);
        assert!(!lines.is_empty() && content.starts_with(&lines[..lines.len() - 1].join("\n")));
        assert!(failed.unwrap().contains("the file cannot be read on"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Lines::open(Path::new("no/such.ndjson"))
            .map(|_| ())
            .unwrap_err();
        assert!(
            matches!(&error, FeedError::Refused(text) if text.contains("no/such.ndjson")),
            "{error}"
        );
    }

    #[test]
    fn the_recorded_pace_is_divided_by_the_factor() {
        let (mut pace, now) = (Pace::new(10.0), Instant::now());
        let mut due_ms = |frame: &str| {
            pace.due(frame.as_bytes(), now)
                .map(|due| (due - now).as_millis())
        };
        let mut due_at = |t: i64| due_ms(&format!(r#"{{"data":[{{"t":{t}}}]}}"#));
        assert_eq!(due_at(1_000), Some(0));
        assert_eq!(due_at(3_000), Some(200));
        assert_eq!(due_at(2_000), Some(200));
        assert_eq!(due_at(4_000), Some(300));
        for leap in [i64::MAX, 5_000, 0, 1_600_000_000_000] {
            let due = due_at(leap).unwrap();
            assert!(due <= 400, "{leap} is due after {due} ms");
        }
        assert_eq!(due_at(1_600_000_001_000), Some(400));
        assert_eq!(due_ms(r#"{"type":"ping"}"#), None);
    }
}
