#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ledger_file::fuzzing::packed(bytes));
