//! The wire protocol: as much of it as sets up a replica set.
//!
//! Not a driver: one connection to one server, one command at a time, no name and no password.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use bson::Document;

use crate::Result;

/// The code of the message that carries both commands and answers.
const OP_MSG: i32 = 2013;

/// Length, number, number answered to, code; then the flags and the kind of the only section, a document.
const HEADER_BYTES: usize = 16 + 4 + 1;

/// No answer is longer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A connection to a server.
#[derive(Debug)]
pub(super) struct Wire(TcpStream);

impl Wire {
    /// Connects to the server at a port of the loopback address, whose every answer is to come within `patience`.
    ///
    /// # Errors
    /// If nobody listens there.
    pub(super) fn connect(port: u16, patience: Duration) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        Ok(Self(stream))
    }

    /// Runs a command on the database `admin`.
    ///
    /// # Errors
    /// What the server says if it refuses, or if it goes away.
    pub(super) fn run(&mut self, mut command: Document) -> Result<Document> {
        command.insert("$db", "admin");
        self.0.write_all(&message(&command)?)?;
        let answer = self.receive()?;
        match answer.get_f64("ok") {
            Ok(1.0) => Ok(answer),
            _ => Err(format!("the server answers {answer}").into()),
        }
    }

    fn receive(&mut self) -> Result<Document> {
        let mut header = [0; HEADER_BYTES];
        self.0.read_exact(&mut header)?;
        let [a, b, c, d, ..] = header;
        let length = usize::try_from(i32::from_le_bytes([a, b, c, d]))?;
        if !(HEADER_BYTES..=ANSWER_BYTES_MAX).contains(&length) {
            return Err("the server does not speak the protocol of MongoDB".into());
        }
        let mut document = vec![0; length - HEADER_BYTES];
        self.0.read_exact(&mut document)?;
        Ok(Document::from_reader(document.as_slice())?)
    }
}

fn message(command: &Document) -> Result<Vec<u8>> {
    let document = command.to_vec()?;
    let length = i32::try_from(HEADER_BYTES + document.len())?;
    let header = [length, 0, 0, OP_MSG, 0].map(i32::to_le_bytes);
    Ok([header.as_flattened(), &[0], &document].concat())
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    #[test]
    fn a_message_tells_its_length_and_is_one_document() {
        let message = message(&doc! { "ping": 1 }).unwrap();
        assert_eq!(message[..4], (message.len() as i32).to_le_bytes());
        let document = Document::from_reader(&message[HEADER_BYTES..]).unwrap();
        assert_eq!(document, doc! { "ping": 1 });
    }
}
