//! A proxy between a store and its server, which can lose answers.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::Result;

/// Passes connections on to a server, and swallows an answer when told to.
///
/// Unlike with packets, nothing is left to chance: the server has got the request, has committed and answered, when the
/// connection breaks.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    wishes: Arc<Wishes>,
}

/// What a proxy must know of what the two sides say to each other.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// Tells whether a request has the server commit an append.
    pub commits: fn(request: &[u8]) -> bool,
    /// Tells whether an answer is complete.
    pub is_complete: fn(answer: &[u8]) -> bool,
}

/// What the proxy is to do, and what it did.
#[derive(Debug, Default)]
struct Wishes {
    swallow: AtomicBool,
    swallowed: AtomicUsize,
}

impl Proxy {
    /// Starts to listen, and to pass on to `server`, a host and port, for as long as this process lives.
    ///
    /// # Errors
    /// Those of the network.
    pub fn start(server: &str, protocol: Protocol) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let wishes = Arc::new(Wishes::default());
        let (server, their_wishes) = (server.to_owned(), Arc::clone(&wishes));
        thread::spawn(move || {
            for client in listener.incoming().map_while(io::Result::ok) {
                // Where there is no server, the client finds its connection closed.
                if let Ok(link) = Link::new(client, &server, protocol, &their_wishes) {
                    link.pass_on();
                }
            }
        });
        Ok(Self { address, wishes })
    }

    /// Where the proxy listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has the answer to the next append, on whatever connection, swallowed and the connection broken.
    pub fn swallow_one(&self) {
        self.wishes.swallow.store(true, Ordering::SeqCst);
    }

    /// How many answers were swallowed so far.
    pub fn swallowed(&self) -> usize {
        self.wishes.swallowed.load(Ordering::SeqCst)
    }
}

/// A client's connection and the one to the server that stands for it.
struct Link {
    client: TcpStream,
    server: TcpStream,
    protocol: Protocol,
    wishes: Arc<Wishes>,
    /// Whether the next answer is to be swallowed.
    is_broken: AtomicBool,
}

impl Link {
    fn new(
        client: TcpStream,
        server: &str,
        protocol: Protocol,
        wishes: &Arc<Wishes>,
    ) -> io::Result<Arc<Self>> {
        let server = TcpStream::connect(server)?;
        // What is passed on waits for nothing that may be said next.
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (wishes, is_broken) = (Arc::clone(wishes), AtomicBool::new(false));
        Ok(Arc::new(Self {
            client,
            server,
            protocol,
            wishes,
            is_broken,
        }))
    }

    /// Passes everything on in both directions, in threads of their own, until a side has ended.
    fn pass_on(self: Arc<Self>) {
        for pass in [Self::pass_requests, Self::pass_answers] {
            let link = Arc::clone(&self);
            thread::spawn(move || {
                // However it ends, this link has ended; the next one may do better.
                let _ = pass(&link);
                let _ = link.client.shutdown(Shutdown::Both);
                let _ = link.server.shutdown(Shutdown::Both);
            });
        }
    }

    fn pass_requests(&self) -> io::Result<()> {
        each_chunk(&self.client, |request| {
            if (self.protocol.commits)(request) && self.wishes.swallow.swap(false, Ordering::SeqCst)
            {
                self.is_broken.store(true, Ordering::SeqCst);
            }
            (&self.server).write_all(request)
        })
    }

    fn pass_answers(&self) -> io::Result<()> {
        let mut swallowed = Vec::new();
        each_chunk(&self.server, |answer| {
            if !self.is_broken.load(Ordering::SeqCst) {
                return (&self.client).write_all(answer);
            }
            swallowed.extend_from_slice(answer);
            if !(self.protocol.is_complete)(&swallowed) {
                return Ok(());
            }
            self.wishes.swallowed.fetch_add(1, Ordering::SeqCst);
            Err(io::ErrorKind::ConnectionAborted.into())
        })
    }
}

fn each_chunk(
    mut from: &TcpStream,
    mut pass: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            length => pass(&buffer[..length])?,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::*;

    /// Lines; a request that ends in `!` commits.
    const LINES: Protocol = Protocol {
        commits: |request| request.ends_with(b"!\n"),
        is_complete: |answer| answer.ends_with(b"\n"),
    };

    /// Starts a server that answers each line with how many it has heard on all connections, and a proxy before it.
    fn start() -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = Proxy::start(&listener.local_addr().unwrap().to_string(), LINES).unwrap();
        let heard = Arc::new(AtomicUsize::new(0));
        thread::spawn(move || {
            for client in listener.incoming().map_while(io::Result::ok) {
                let heard = Arc::clone(&heard);
                thread::spawn(move || {
                    for _ in BufReader::new(&client).lines().map_while(io::Result::ok) {
                        writeln!(&client, "{}", heard.fetch_add(1, Ordering::SeqCst) + 1).unwrap();
                    }
                });
            }
        });
        proxy
    }

    fn ask(mut connection: &TcpStream, request: &str) -> Option<String> {
        connection
            .write_all(format!("{request}\n").as_bytes())
            .unwrap();
        BufReader::new(connection).lines().next()?.ok()
    }

    #[test]
    fn what_is_said_is_passed_on() {
        let proxy = start();
        let connection = TcpStream::connect(proxy.address()).unwrap();
        assert_eq!(ask(&connection, "a!").as_deref(), Some("1"));
        assert_eq!(ask(&connection, "b").as_deref(), Some("2"));
        assert_eq!(proxy.swallowed(), 0);
    }

    #[test]
    fn one_answer_is_swallowed_after_the_server_gave_it() {
        let proxy = start();
        let connection = TcpStream::connect(proxy.address()).unwrap();
        proxy.swallow_one();
        assert_eq!(ask(&connection, "a").as_deref(), Some("1"));
        assert_eq!(ask(&connection, "b!"), None);
        assert_eq!(proxy.swallowed(), 1);
        let connection = TcpStream::connect(proxy.address()).unwrap();
        assert_eq!(ask(&connection, "c!").as_deref(), Some("3"));
    }
}
