//! A port of one's choice that leads to the embedded broker's.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

/// Connections at the same time; clients keep one for asking where the broker is.
const CONNECTIONS_MAX: usize = 256;
/// Copied at once, bytes.
const COPY_BYTES: usize = 16 * 1024;

/// A listening port of 127.0.0.1; dropping it closes it. Connections end with their peers.
pub(super) struct ForwardedPort {
    address: SocketAddr,
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ForwardedPort {
    /// Listens on `port` (0: any) and leads every connection to `target`, `host:port`.
    pub(super) fn open(port: u16, target: &str) -> io::Result<ForwardedPort> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let address = listener.local_addr()?;
        let target: SocketAddr = target.parse().map_err(io::Error::other)?;
        let closing = Arc::new(AtomicBool::new(false));
        let accepting = Arc::clone(&closing);
        let thread = thread::Builder::new()
            .name("broker-port".to_string())
            .spawn(move || accept(&listener, target, &accepting))?;
        Ok(ForwardedPort {
            address,
            closing,
            thread: Some(thread),
        })
    }

    pub(super) fn address(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for ForwardedPort {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        // A connection wakes the thread, which then sees that it is to end.
        let woken = TcpStream::connect(self.address).is_ok();
        if let Some(thread) = self.thread.take()
            && woken
        {
            // A thread that panicked is gone as well.
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, target: SocketAddr, closing: &AtomicBool) {
    let open = Arc::new(AtomicUsize::new(0));
    for client in listener.incoming() {
        if closing.load(Ordering::Relaxed) {
            return;
        }
        // One that failed or is too many is closed; Kafka's clients try again.
        let Ok(client) = client else { continue };
        if open.load(Ordering::Relaxed) < CONNECTIONS_MAX
            && let Ok(broker) = TcpStream::connect(target)
        {
            connect(client, broker, &open);
        }
    }
}

/// Copies both ways, a thread each, until either side ends.
fn connect(client: TcpStream, broker: TcpStream, open: &Arc<AtomicUsize>) {
    let (Ok(from_client), Ok(from_broker)) = (client.try_clone(), broker.try_clone()) else {
        return;
    };
    open.fetch_add(1, Ordering::Relaxed);
    let open = Arc::clone(open);
    // Without a thread the sockets are dropped, and so closed.
    let _ = thread::Builder::new()
        .name("broker-port".to_string())
        .spawn(move || {
            let back = thread::Builder::new()
                .name("broker-port".to_string())
                .spawn(move || copy(from_broker, client));
            if let Ok(back) = back {
                copy(from_client, broker);
                let _ = back.join();
            }
            open.fetch_sub(1, Ordering::Relaxed);
        });
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; COPY_BYTES];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // Ends the other direction too; a socket that is closed already stays so.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
