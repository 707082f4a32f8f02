//! A file that is removed while somebody opens it: in every order there is.

use std::sync::Arc;

use shuttle::thread;

use super::SimDisk;
use crate::disk::{Access, Disk, DiskFile, LateFile, Patience, write_all_at};

fn a_file_that_goes_while_somebody_reads_it() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::default());
    write_all_at(&*disk.create("file").unwrap(), b"late", 0).unwrap();
    let late = Arc::new(LateFile::new(&disk, "file".into(), Access::Read));
    let reader = Arc::clone(&late);
    let reader = thread::spawn(move || {
        let mut buf = [0; 4];
        reader.read_at(&mut buf, 0, Patience::Wait).unwrap();
        buf
    });
    late.len().unwrap();
    disk.remove("file").unwrap();
    assert_eq!(&reader.join().unwrap(), b"late");
}

#[test]
fn who_removes_a_file_that_was_opened_takes_it_from_nobody() {
    shuttle::check_dfs(a_file_that_goes_while_somebody_reads_it, None);
}
