//! Texts that break whatever is put together from them unescaped.

use std::collections::BTreeSet;

/// Distinct texts of up to 512 bytes, none of them empty.
pub(crate) fn texts() -> BTreeSet<String> {
    let long = [
        "x".repeat(512),
        "\u{1f980}".repeat(128),
        "'".repeat(512),
        "\0".repeat(512),
    ];
    TEXTS
        .iter()
        .map(|text| (*text).to_owned())
        .chain(long)
        .collect()
}

const TEXTS: &[&str] = &[
    // Quotes and SQL.
    "'",
    "''",
    "\"",
    "`",
    "'; DROP TABLE entries; --",
    "\" OR 1=1 --",
    "%",
    "_",
    "?",
    "?1",
    ":name",
    "@name",
    "$1",
    "NULL",
    // Paths.
    ".",
    "..",
    "/",
    "../../etc/passwd",
    "..\\..\\boot.ini",
    "C:\\CON",
    "a/b",
    // Documents and patterns.
    "$",
    "$where",
    "a.b.c",
    "a..b",
    "_id",
    "{}",
    "{\"a\": 1}",
    "[a-z]+",
    "^.*$",
    "*",
    "\\",
    "%s%n",
    // Numbers and other words that might be taken for something else.
    "0",
    "-1",
    "1e9",
    "01",
    "true",
    "null",
    // White space and control characters.
    " ",
    " before",
    "after ",
    "\t",
    "\r\n",
    "\0",
    "a\0b",
    "a\0",
    "\u{1b}[31m",
    "\u{7f}",
    "\u{85}",
    // Unicode.
    "\u{e9}",
    "e\u{301}",
    "\u{df}",
    "ss",
    "SS",
    "\u{130}",
    "i\u{307}",
    "\u{fb01}",
    "\u{feff}",
    "\u{202e}",
    "\u{200b}",
    "\u{fffd}",
    "\u{ffff}",
    "\u{10ffff}",
    "\u{1f980}",
    "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}",
];
