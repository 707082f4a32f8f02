//! What a worker tells its crew, one line each, and what it is told.

use std::fmt;
use std::str::FromStr;

/// Begins the lines that are words; the test harness prints others between them.
const MARK: &str = "chaos: ";

/// Something that a worker tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// The entry with this key was acknowledged under this id.
    Acknowledged { key: String, id: u64 },
    /// The reader met the entry with this key under this id.
    Seen { key: String, id: u64 },
    /// The store could not tell what became of an append.
    Unknown,
    /// The store answered with this error, which a fault excuses.
    Excused(String),
    /// No writer is at work any more, and all they appended was acknowledged.
    Written,
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MARK)?;
        match self {
            Self::Acknowledged { key, id } => write!(f, "acknowledged {id} {key}"),
            Self::Seen { key, id } => write!(f, "seen {id} {key}"),
            Self::Unknown => f.write_str("unknown"),
            Self::Excused(error) => write!(f, "excused {}", error.replace('\n', " ")),
            Self::Written => f.write_str("written"),
        }
    }
}

impl FromStr for Word {
    type Err = NoWord;

    fn from_str(line: &str) -> Result<Self, NoWord> {
        let said = line.strip_prefix(MARK).ok_or(NoWord)?;
        if let Some(error) = said.strip_prefix("excused ") {
            return Ok(Self::Excused(error.into()));
        }
        let mut parts = said.splitn(3, ' ');
        let verb = parts.next().ok_or(NoWord)?;
        let id = parts
            .next()
            .map(str::parse)
            .transpose()
            .map_err(|_| NoWord)?;
        match (verb, id, parts.next().map(str::to_owned)) {
            ("acknowledged", Some(id), Some(key)) => Ok(Self::Acknowledged { key, id }),
            ("seen", Some(id), Some(key)) => Ok(Self::Seen { key, id }),
            ("unknown", None, None) => Ok(Self::Unknown),
            ("written", None, None) => Ok(Self::Written),
            _ => Err(NoWord),
        }
    }
}

/// The line is something else than a word.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoWord;

/// What a worker is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Write and read on.
    GoOn,
    /// Begin no other append.
    Stop,
    /// Read until this id was met, then end.
    ReadTo(u64),
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GoOn => f.write_str("go on"),
            Self::Stop => f.write_str("stop"),
            Self::ReadTo(id) => write!(f, "read to {id}"),
        }
    }
}

impl FromStr for Order {
    type Err = NoWord;

    fn from_str(line: &str) -> Result<Self, NoWord> {
        let id = line.strip_prefix("read to ").map(str::parse);
        match (line, id) {
            ("go on", _) => Ok(Self::GoOn),
            ("stop", _) => Ok(Self::Stop),
            (_, Some(Ok(id))) => Ok(Self::ReadTo(id)),
            _ => Err(NoWord),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood() {
        let key = || "w1 2.3".to_owned();
        let words = [
            Word::Acknowledged { key: key(), id: 7 },
            Word::Seen {
                key: key(),
                id: u64::MAX,
            },
            Word::Unknown,
            Word::Excused("no server at 7".into()),
            Word::Written,
        ];
        for word in words {
            assert_eq!(word.to_string().parse(), Ok(word));
        }
    }

    #[test]
    fn orders_are_understood() {
        for order in [Order::GoOn, Order::Stop, Order::ReadTo(7)] {
            assert_eq!(order.to_string().parse(), Ok(order));
        }
    }

    #[test]
    fn other_lines_are_no_words() {
        for line in [
            "",
            "running 1 test",
            "chaos: ",
            "chaos: seen",
            "chaos: seen 7",
            "chaos: seen x y",
        ] {
            assert_eq!(line.parse::<Word>(), Err(NoWord), "{line}");
        }
    }
}
