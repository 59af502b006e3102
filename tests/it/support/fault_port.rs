//! A port before a broker that does to the way what networks do: it cuts, stalls, delays, and swallows answers.
//! Every client is led this way, because the broker's address is replaced in what the broker says of itself.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What goes through is looked at this often while it stalls.
const STALLED: Duration = Duration::from_millis(5);
/// Longest answer of a broker that is taken for one, bytes.
const ANSWER_MAX: usize = 64 * 1024 * 1024;

/// The port.
pub struct FaultPort {
    /// Where clients find it.
    pub address: String,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    closing: AtomicBool,
    /// No connection is taken, and those there are end.
    cut: AtomicBool,
    /// Nothing goes through, and nothing ends.
    stalled: AtomicBool,
    /// So many answers more are swallowed, each with the connection after it.
    swallow: AtomicU64,
    /// Each answer is this late, milliseconds.
    delay_ms: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

impl FaultPort {
    /// Leads to `broker`, `127.0.0.1:port`.
    pub fn open(broker: &str) -> FaultPort {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let (taking, broker) = (Arc::clone(&shared), broker.to_string());
        let thread = std::thread::spawn(move || {
            for client in listener.incoming() {
                if taking.closing.load(Ordering::Relaxed) {
                    return;
                }
                lead(client.unwrap(), &broker, own.port(), &taking);
            }
        });
        FaultPort {
            address: own.to_string(),
            shared,
            thread: Some(thread),
        }
    }

    /// Ends every connection and takes no new one, or takes them again.
    pub fn cut(&self, cut: bool) {
        self.shared.cut.store(cut, Ordering::Relaxed);
        if cut {
            self.shared.end_all();
        }
    }

    /// Ends every connection, once.
    pub fn hiccup(&self) {
        self.shared.end_all();
    }

    /// Lets nothing through, without ending anything, or lets it through again.
    pub fn stall(&self, stalled: bool) {
        self.shared.stalled.store(stalled, Ordering::Relaxed);
    }

    /// Swallows so many answers, each with its connection: the broker has done it, and the client does not know.
    pub fn swallow(&self, answers: u64) {
        self.shared.swallow.store(answers, Ordering::Relaxed);
    }

    /// Makes every answer late.
    pub fn delay(&self, delay: Duration) {
        let ms = u64::try_from(delay.as_millis()).unwrap();
        self.shared.delay_ms.store(ms, Ordering::Relaxed);
    }
}

impl Shared {
    fn end_all(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            // One that has ended already stays so.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn wait_while_stalled(&self) {
        while self.stalled.load(Ordering::Relaxed) && !self.closing.load(Ordering::Relaxed) {
            std::thread::sleep(STALLED);
        }
    }
}

impl Drop for FaultPort {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        // A connection wakes the thread, which then sees that it is to end.
        if TcpStream::connect(&self.address).is_ok() {
            self.thread.take().unwrap().join().unwrap();
        }
        self.shared.end_all();
    }
}

/// Leads a connection on, a thread each way, until either side ends.
fn lead(client: TcpStream, broker: &str, own_port: u16, shared: &Arc<Shared>) {
    let broker_port: u16 = broker.rsplit(':').next().unwrap().parse().unwrap();
    let Ok(broker) = TcpStream::connect(broker) else {
        return;
    };
    {
        let mut open = shared.open.lock().unwrap();
        if shared.cut.load(Ordering::Relaxed) {
            return;
        }
        open.extend([&client, &broker].map(|stream| stream.try_clone().unwrap()));
    }
    let (client_reads, broker_writes) = (client.try_clone().unwrap(), broker.try_clone().unwrap());
    let requests = Arc::clone(shared);
    std::thread::spawn(move || {
        // Whatever ends one way ends the other too.
        let _ = requests_through(&client_reads, &broker_writes, &requests);
        let _ = (
            client_reads.shutdown(Shutdown::Both),
            broker_writes.shutdown(Shutdown::Both),
        );
    });
    let answers = Arc::clone(shared);
    std::thread::spawn(move || {
        let ports = (broker_port, own_port);
        let _ = answers_through(&broker, &client, ports, &answers);
        let _ = (
            broker.shutdown(Shutdown::Both),
            client.shutdown(Shutdown::Both),
        );
    });
}

fn requests_through(
    mut from: &TcpStream,
    mut to: &TcpStream,
    shared: &Shared,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut bytes)?;
        if read == 0 {
            return Ok(());
        }
        shared.wait_while_stalled();
        to.write_all(&bytes[..read])?;
    }
}

/// Answer by answer: four bytes of length, then so many.
fn answers_through(
    mut from: &TcpStream,
    mut to: &TcpStream,
    (broker_port, own_port): (u16, u16),
    shared: &Shared,
) -> std::io::Result<()> {
    let place = |port: u16| {
        let mut place = b"127.0.0.1".to_vec();
        place.extend(i32::from(port).to_be_bytes());
        place
    };
    let (theirs, ours) = (place(broker_port), place(own_port));
    loop {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let bytes = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
        assert!(bytes <= ANSWER_MAX, "an answer of {bytes} bytes");
        let mut answer = vec![0; bytes];
        from.read_exact(&mut answer)?;
        for at in 0..answer.len().saturating_sub(theirs.len() - 1) {
            if answer[at..].starts_with(&theirs) {
                answer[at..at + ours.len()].copy_from_slice(&ours);
            }
        }
        let left = shared.swallow.load(Ordering::Relaxed);
        if left > 0 {
            shared.swallow.store(left - 1, Ordering::Relaxed);
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(
            shared.delay_ms.load(Ordering::Relaxed),
        ));
        shared.wait_while_stalled();
        to.write_all(&length)?;
        to.write_all(&answer)?;
    }
}
