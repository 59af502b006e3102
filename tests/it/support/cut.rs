//! A broker that can be cut off for a while and comes back with what it held: the embedded one, or a real Kafka
//! behind a port that leads to it (`STOCKPULSE_TEST_CUT_BROKER`, two addresses with a comma: the one that the broker
//! advertises and nobody listens on, and the one behind it; `.ci/kafka env` prints it).

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::broker::{TestBroker, is_real_broker};
use super::shipped::{Folder, Run};

/// Only one at a time can listen there.
static PORT: Mutex<()> = Mutex::new(());

/// A broker, and what cuts it off.
pub struct CutBroker {
    pub broker: TestBroker,
    /// `None`: the embedded broker cuts itself off.
    port: Option<(CutPort, MutexGuard<'static, ()>)>,
}

impl CutBroker {
    pub fn start(partitions: i32) -> CutBroker {
        let addresses = std::env::var("STOCKPULSE_TEST_CUT_BROKER").ok();
        let Some(addresses) = addresses.filter(|_| is_real_broker()) else {
            let broker = TestBroker::embedded(partitions);
            return CutBroker { broker, port: None };
        };
        let alone = PORT.lock().unwrap_or_else(PoisonError::into_inner);
        let (advertised, behind) = addresses.split_once(',').expect("two addresses");
        CutBroker {
            broker: TestBroker::start(partitions),
            port: Some((CutPort::open(advertised, behind), alone)),
        }
    }

    /// The job of the folder, which is cut off with the rest of what goes this way.
    pub fn ingest(&self, folder: &Folder, arguments: &[&str]) -> Run {
        let run = folder.ingest(&self.broker, arguments);
        run.env("KAFKA_BROKER", self.address())
    }

    /// Where clients that are cut off with it find it.
    pub fn address(&self) -> &str {
        match &self.port {
            Some((port, _)) => &port.address,
            None => &self.broker.bootstrap,
        }
    }

    /// Whether frames can be appended while it is cut off.
    pub fn can_append(&self) -> bool {
        self.port.is_some()
    }

    /// Ends every connection and takes no new one, or takes them again.
    pub fn set_reachable(&self, reachable: bool) {
        match &self.port {
            Some((port, _)) => port.set_reachable(reachable),
            None => self.broker.set_reachable(reachable),
        }
    }
}

/// A port that leads to another, or to nothing.
struct CutPort {
    address: String,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    cut: AtomicBool,
    closing: AtomicBool,
    /// Both ends of what was taken.
    open: Mutex<Vec<TcpStream>>,
}

impl Shared {
    fn end_all(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            // One that has ended already stays so.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl CutPort {
    fn open(address: &str, behind: &str) -> CutPort {
        let listener = TcpListener::bind(address).unwrap();
        let shared = Arc::new(Shared::default());
        let (taking, behind) = (Arc::clone(&shared), behind.to_string());
        let thread = std::thread::spawn(move || {
            for client in listener.incoming() {
                if taking.closing.load(Ordering::Relaxed) {
                    return;
                }
                lead(client.unwrap(), &behind, &taking);
            }
        });
        CutPort {
            address: address.to_string(),
            shared,
            thread: Some(thread),
        }
    }

    fn set_reachable(&self, reachable: bool) {
        self.shared.cut.store(!reachable, Ordering::Relaxed);
        if !reachable {
            self.shared.end_all();
        }
    }
}

impl Drop for CutPort {
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
fn lead(client: TcpStream, behind: &str, shared: &Shared) {
    let Ok(broker) = TcpStream::connect(behind) else {
        return;
    };
    {
        let mut open = shared.open.lock().unwrap();
        if shared.cut.load(Ordering::Relaxed) {
            return;
        }
        open.extend([&client, &broker].map(|stream| stream.try_clone().unwrap()));
    }
    let ways = [
        (client.try_clone().unwrap(), broker.try_clone().unwrap()),
        (broker, client),
    ];
    for (mut from, mut to) in ways {
        std::thread::spawn(move || {
            // Whatever ends one way ends the other too.
            let _ = std::io::copy(&mut from, &mut to);
            let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
        });
    }
}
