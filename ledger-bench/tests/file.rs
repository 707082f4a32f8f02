//! The race of the file log runs laps in processes of the program itself: so it is the program that is tested.

use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ledger-bench"))
        .args(["--quick", "--rounds", "1"])
        .args(arguments)
        .output()
        .expect("the program runs")
}

fn report_of(row: &str) -> String {
    let output = bench(&[row]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    String::from_utf8(output.stdout).expect("a report is text")
}

#[test]
fn every_row_runs_and_nobody_fails() {
    for row in ["file-append", "file-durable", "file-read", "file-reopen"] {
        let report = report_of(row);
        assert!(report.contains("| bare: "), "{row}: {report}");
        assert!(!report.contains("failed"), "{row}: {report}");
    }
}

#[test]
fn a_flipped_byte_is_reported_where_checksums_are_looked_at() {
    let report = report_of("file-damage");
    assert!(report.contains("| bare: write(2) | reported: "), "{report}");
}

#[test]
fn a_program_that_cannot_run_laps_is_refused() {
    let output = bench(&["file-append", "--peers", "/nonexistent"]);
    assert!(!output.status.success());
}
