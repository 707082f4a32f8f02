//! Reading events from a file: JSON, one event a line, plain or compressed with gzip.
//!
//! Holds one line at a time, however long the file is. A line that is no event is an error that names file and line.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use indicatif::ProgressBar;
use ledger_core::{NewEntry, Timestamp};
use serde::Deserialize;

use crate::event::FlightEvent;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The events of a file, one after the other, up to the first error.
pub(crate) struct Events {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    line: String,
    line_number: usize,
}

impl Events {
    /// Opens `path`; `progress` counts the bytes of the file that were read.
    pub(crate) fn open(path: &Path, progress: &ProgressBar) -> Result<Self, BadInput> {
        let reader = open(path, progress).map_err(|error| BadInput {
            path: path.to_owned(),
            line_number: None,
            source: error.into(),
        })?;
        Ok(Self {
            path: path.to_owned(),
            reader,
            line: String::new(),
            line_number: 0,
        })
    }

    fn read_event(
        &mut self,
    ) -> Result<Option<NewEntry<FlightEvent>>, Box<dyn Error + Send + Sync>> {
        self.line.clear();
        self.line_number += 1;
        if self.reader.read_line(&mut self.line)? == 0 {
            return Ok(None);
        }
        let line: Line = serde_json::from_str(&self.line)?;
        line.into_entry().map(Some)
    }
}

impl Iterator for Events {
    type Item = Result<NewEntry<FlightEvent>, BadInput>;

    fn next(&mut self) -> Option<Self::Item> {
        let event = self.read_event();
        if event.is_err() {
            self.reader = Box::new(io::empty());
        }
        let bad_input = |source| BadInput {
            path: self.path.clone(),
            line_number: Some(self.line_number),
            source,
        };
        event.map_err(bad_input).transpose()
    }
}

fn open(path: &Path, progress: &ProgressBar) -> io::Result<Box<dyn BufRead>> {
    let file = File::open(path)?;
    progress.set_length(file.metadata()?.len());
    let mut raw = BufReader::new(progress.wrap_read(file));
    let is_gzip = raw.fill_buf()?.starts_with(&GZIP_MAGIC);
    Ok(match is_gzip {
        true => Box::new(BufReader::new(MultiGzDecoder::new(raw))),
        false => Box::new(raw),
    })
}

/// A line as it stands in the file.
#[derive(Deserialize)]
struct Line {
    order_key: Option<String>,
    dedup_key: String,
    occurred_at: String,
    #[serde(flatten)]
    event: FlightEvent,
}

impl Line {
    /// When it happened is a fact about the event that all kinds share, and differs from when the log took it
    /// (`recorded_at`): so it goes into the metadata.
    fn into_entry(self) -> Result<NewEntry<FlightEvent>, Box<dyn Error + Send + Sync>> {
        let _is_a_time: Timestamp = self.occurred_at.parse()?;
        let mut entry = NewEntry::new(self.event)
            .dedup_key(self.dedup_key)
            .metadata("occurred_at", self.occurred_at);
        entry.order_key = self.order_key;
        Ok(entry)
    }
}

/// A file that could not be opened, or a line that could not be read or is no event.
#[derive(Debug)]
pub(crate) struct BadInput {
    path: PathBuf,
    line_number: Option<usize>,
    source: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read {}", self.path.display())?;
        match self.line_number {
            Some(number) => write!(f, ", line {number}"),
            None => Ok(()),
        }
    }
}

impl Error for BadInput {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use serde_json::Value;
    use tempfile::NamedTempFile;

    use super::*;

    const FIRST_DAY: &str = include_str!("../data/flights-2013-01-01.jsonl");

    fn events(bytes: &[u8]) -> Vec<Result<NewEntry<FlightEvent>, BadInput>> {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        Events::open(file.path(), &ProgressBar::hidden())
            .unwrap()
            .collect()
    }

    fn good(bytes: &[u8]) -> Vec<NewEntry<FlightEvent>> {
        events(bytes).into_iter().collect::<Result<_, _>>().unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn no_field_of_a_line_is_lost() {
        for (line, entry) in FIRST_DAY.lines().zip(good(FIRST_DAY.as_bytes())) {
            let line: Value = serde_json::from_str(line).unwrap();
            let event = serde_json::to_value(&entry.value).unwrap();
            assert_eq!(event["payload"], line["payload"]);
            assert_eq!(event["kind"], line["kind"]);
            assert_eq!(entry.value.kind(), line["kind"]);
            assert_eq!(entry.order_key.as_deref(), line["order_key"].as_str());
            assert_eq!(entry.dedup_key.as_deref(), line["dedup_key"].as_str());
            assert_eq!(
                entry.metadata["occurred_at"],
                line["occurred_at"].as_str().unwrap()
            );
        }
    }

    #[test]
    fn gzip_is_told_by_its_first_bytes() {
        let two_members = [gzip(FIRST_DAY.as_bytes()), gzip(FIRST_DAY.as_bytes())].concat();
        let plain = good(FIRST_DAY.as_bytes());
        assert_eq!(good(&two_members), [plain.clone(), plain].concat());
    }

    #[test]
    fn an_aircraft_may_be_unknown() {
        let line = FIRST_DAY
            .lines()
            .next()
            .unwrap()
            .replace(r#""N14228""#, "null");
        assert_eq!(good(line.as_bytes())[0].order_key, None);
    }

    #[test]
    fn a_bad_line_is_named_and_ends_the_events() {
        let good = FIRST_DAY.lines().next().unwrap();
        let unknown_kind = good.replacen("Departed", "Vanished", 1);
        let no_time = good.replace("10:17", "25:17");
        for bad in ["", "{}", "not json", &unknown_kind, &no_time] {
            let events = events(format!("{good}\n{bad}\n{good}\n").as_bytes());
            assert_eq!(events.len(), 2, "{bad}");
            let error = events[1].as_ref().unwrap_err();
            assert!(error.to_string().ends_with(", line 2"), "{error}");
        }
    }

    #[test]
    fn a_torn_gzip_file_is_an_error_and_not_an_end() {
        let whole = gzip(FIRST_DAY.as_bytes());
        let torn = events(&whole[..whole.len() / 2]);
        assert!(torn.last().unwrap().is_err());
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Events::open(Path::new("no/such.jsonl"), &ProgressBar::hidden())
            .err()
            .unwrap();
        assert!(error.to_string().contains("no/such.jsonl"), "{error}");
    }
}
