//! Sets come, survive what is done to them, and go.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::ptr;

use ledger_testservers::{Mongo, Node};

/// Tells a process that it is the child of a test.
const CHILD: &str = "LEDGER_TESTSERVERS_CHILD";

/// Begins the line in which the child tells where its server is.
const ADDRESS: &str = "address: ";

fn answers(node: &Node) -> bool {
    TcpStream::connect(node.address()).is_ok()
}

#[test]
fn the_shared_set_is_one() {
    let Some(set) = Mongo::shared() else { return };
    assert!(set.nodes().iter().all(answers));
    assert_eq!(Mongo::shared().map(Mongo::url), Some(set.url()));
}

#[test]
fn a_private_server_is_killed_and_started_again_at_its_address() {
    let Some(set) = Mongo::private() else { return };
    let node = set.primary().unwrap();
    node.kill().unwrap();
    assert!(!answers(node));
    assert!(node.kill().is_err() && node.freeze().is_err());
    node.start_again().unwrap();
    assert!(node.start_again().is_err());
    assert!(ptr::eq(set.primary().unwrap(), node));
}

#[test]
fn a_set_of_three_has_another_primary_when_one_is_killed_or_frozen_or_steps_down() {
    let Some(set) = Mongo::private_set(3) else {
        return;
    };
    let killed = set.primary().unwrap();
    killed.kill().unwrap();
    assert!(!ptr::eq(set.primary().unwrap(), killed));
    killed.start_again().unwrap();
    set.wait_until_whole().unwrap();
    let frozen = set.primary().unwrap();
    frozen.freeze().unwrap();
    let before = set.primary().unwrap();
    assert!(!ptr::eq(before, frozen));
    frozen.thaw().unwrap();
    set.step_down().unwrap();
    assert!(!ptr::eq(set.primary().unwrap(), before));
}

#[test]
fn a_standalone_server_answers() {
    let Some(server) = Mongo::private_standalone() else {
        return;
    };
    assert!(server.nodes().iter().all(answers));
}

#[test]
fn a_set_with_passwords_tells_its_administrators() {
    let Some(set) = Mongo::private_with_passwords() else {
        return;
    };
    assert!(set.nodes().iter().all(answers));
    assert!(
        set.url()
            .starts_with("mongodb://ledger:of-no-secret@127.0.0.1")
    );
}

#[test]
fn a_dropped_set_leaves_nothing_behind() {
    if Mongo::private().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let set = Mongo::start(dir.path()).unwrap();
    let address = set.nodes()[0].address();
    drop(set);
    assert!(TcpStream::connect(address).is_err());
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);
}

#[test]
fn a_killed_process_leaves_no_server_behind() {
    if env::var_os(CHILD).is_some() {
        return serve_until_killed();
    }
    if Mongo::private().is_none() {
        return;
    }
    let mut child = start_child("a_killed_process_leaves_no_server_behind");
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = lines.map(|line| line.unwrap());
    let address = lines.find_map(|line| Some(line.strip_prefix(ADDRESS)?.to_owned()));
    let mut connection = TcpStream::connect(address.expect("the child has a server")).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    // The server waits for us to begin; the connection ends with it.
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
    let set = Mongo::private().expect("the parent had a set too");
    let said = writeln!(io::stdout(), "\n{ADDRESS}{}", set.nodes()[0].address());
    said.expect("the parent listens");
    let end = io::stdin().read_to_end(&mut Vec::new());
    end.expect("the parent says nothing");
}
