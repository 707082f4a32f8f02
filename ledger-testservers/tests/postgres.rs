//! Servers come, answer, survive a crash, and go.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use ledger_testservers::Postgres;

/// Tells a process that it is the child of a test.
const CHILD: &str = "LEDGER_TESTSERVERS_CHILD";

/// Asks a Postgres server whether it speaks TLS, which it answers with a byte.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Begins the line in which the child tells where its server is.
const ADDRESS: &str = "address: ";

fn answers(server: &Postgres) -> bool {
    TcpStream::connect(server.address()).is_ok()
}

#[test]
fn the_shared_server_is_one() {
    let Some(server) = Postgres::shared() else {
        return;
    };
    assert!(answers(server));
    assert_eq!(Postgres::shared().map(Postgres::url), Some(server.url()));
}

#[test]
fn a_private_server_is_stopped_and_started_again_at_its_address() {
    let Some(server) = Postgres::private() else {
        return;
    };
    server.stop_immediately().unwrap();
    assert!(!answers(&server));
    assert!(server.stop_immediately().is_err());
    server.start_again().unwrap();
    assert!(answers(&server));
}

#[test]
fn a_dropped_server_leaves_nothing_behind() {
    if Postgres::private().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let server = Postgres::start(dir.path()).unwrap();
    let address = server.address().to_owned();
    drop(server);
    assert!(TcpStream::connect(address).is_err());
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);
}

#[test]
fn a_killed_process_leaves_no_server_behind() {
    if env::var_os(CHILD).is_some() {
        return serve_until_killed();
    }
    if Postgres::private().is_none() {
        return;
    }
    let mut child = start_child("a_killed_process_leaves_no_server_behind");
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = lines.map(|line| line.unwrap());
    let address = lines.find_map(|line| Some(line.strip_prefix(ADDRESS)?.to_owned()));
    let mut connection = TcpStream::connect(address.expect("the child has a server")).unwrap();
    connection.write_all(&SSL_REQUEST).unwrap();
    connection.read_exact(&mut [0]).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    // The server waits for us to go on; the connection ends with it.
    assert!(!matches!(connection.read(&mut [0]), Ok(1)));
}

fn start_child(test: &str) -> Child {
    let this = env::current_exe().expect("this program has a path");
    let mut child = Command::new(this);
    child.args(["--exact", test, "--nocapture"]).env(CHILD, "1");
    let child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    child.expect("this program starts once more")
}

fn serve_until_killed() {
    let server = Postgres::private().expect("the parent had a server too");
    let said = writeln!(io::stdout(), "\n{ADDRESS}{}", server.address());
    said.expect("the parent listens");
    let end = io::stdin().read_to_end(&mut Vec::new());
    end.expect("the parent says nothing");
}
