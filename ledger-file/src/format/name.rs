//! The names of a log's files, built and parsed.
//!
//! Never a stream's name: those are any text.

use std::fmt;

use super::segment::Form;

/// A file of a log's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FileName {
    /// Held locked by the one process that writes.
    Lock,
    /// Which files are the log.
    Manifest,
    /// A manifest that is being written.
    ManifestNew,
    /// A manifest that a repair has replaced.
    ManifestCut,
    /// Frames on their way to their segment.
    Stage,
    /// What is remembered of streams while the log is closed.
    Streams,
    /// Frames.
    Segment { segment: u32, generation: u64 },
    /// The same frames, packed.
    Packed { segment: u32, generation: u64 },
    /// An index of the frames of a segment from an offset on.
    Index {
        segment: u32,
        generation: u64,
        from: u32,
    },
    /// An index of several segments that follow each other: the number of the first, and a digest of all.
    Merged { segment: u32, digest: u64 },
    /// A segment that a repair has replaced, and the offset of the first damage in it.
    Cut {
        segment: u32,
        generation: u64,
        from: u32,
    },
}

impl FileName {
    /// The file of a segment that lies in it in this form.
    pub(crate) fn segment(segment: u32, generation: u64, form: Form) -> Self {
        match form {
            Form::Plain => Self::Segment {
                segment,
                generation,
            },
            Form::Packed => Self::Packed {
                segment,
                generation,
            },
        }
    }

    /// Parses a name; none if no file of a log has it.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let parsed = match name {
            "LOCK" => Self::Lock,
            "MANIFEST" => Self::Manifest,
            "MANIFEST.new" => Self::ManifestNew,
            "MANIFEST.cut" => Self::ManifestCut,
            "STAGE" => Self::Stage,
            "STREAMS" => Self::Streams,
            _ => Self::parse_numbered(name)?,
        };
        // Numbers have other forms than the one that is written.
        (parsed.to_string() == name).then_some(parsed)
    }

    fn parse_numbered(name: &str) -> Option<Self> {
        let (numbers, extension) = name.split_once('.')?;
        let mut numbers = numbers.split('-');
        let segment = u32::from_str_radix(numbers.next()?, 16).ok()?;
        let generation = u64::from_str_radix(numbers.next()?, 16).ok()?;
        let from = numbers.next().map(|from| u32::from_str_radix(from, 16));
        match (extension, from) {
            ("segment", None) => Some(Self::Segment {
                segment,
                generation,
            }),
            ("packed", None) => Some(Self::Packed {
                segment,
                generation,
            }),
            ("merged", None) => Some(Self::Merged {
                segment,
                digest: generation,
            }),
            ("index", Some(Ok(from))) => Some(Self::Index {
                segment,
                generation,
                from,
            }),
            ("cut", Some(Ok(from))) => Some(Self::Cut {
                segment,
                generation,
                from,
            }),
            _ => None,
        }
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock => f.write_str("LOCK"),
            Self::Manifest => f.write_str("MANIFEST"),
            Self::ManifestNew => f.write_str("MANIFEST.new"),
            Self::ManifestCut => f.write_str("MANIFEST.cut"),
            Self::Stage => f.write_str("STAGE"),
            Self::Streams => f.write_str("STREAMS"),
            Self::Segment {
                segment,
                generation,
            } => write!(f, "{segment:08x}-{generation:016x}.segment"),
            Self::Packed {
                segment,
                generation,
            } => write!(f, "{segment:08x}-{generation:016x}.packed"),
            Self::Index {
                segment,
                generation,
                from,
            } => write!(f, "{segment:08x}-{generation:016x}-{from:08x}.index"),
            Self::Merged { segment, digest } => write!(f, "{segment:08x}-{digest:016x}.merged"),
            Self::Cut {
                segment,
                generation,
                from,
            } => write!(f, "{segment:08x}-{generation:016x}-{from:08x}.cut"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_name_comes_back(segment: u32, generation: u64, from: u32) {
            for name in [
                FileName::Lock,
                FileName::Manifest,
                FileName::ManifestNew,
                FileName::ManifestCut,
                FileName::Stage,
                FileName::Streams,
                FileName::Segment { segment, generation },
                FileName::Packed { segment, generation },
                FileName::Index { segment, generation, from },
                FileName::Merged { segment, digest: generation },
                FileName::Cut { segment, generation, from },
            ] {
                prop_assert_eq!(FileName::parse(&name.to_string()), Some(name));
            }
        }

        #[test]
        fn any_text_is_a_name_in_its_only_form_or_none(text in "[0-9a-fA-F+-]{0,30}\\.?[a-z.]{0,8}") {
            if let Some(name) = FileName::parse(&text) {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }

    #[test]
    fn other_forms_of_a_name_are_other_files() {
        assert!(FileName::parse("00000001-0000000000000002.segment").is_some());
        assert_eq!(FileName::parse("0000000A-0000000000000002.segment"), None);
        assert_eq!(FileName::parse("1-2.segment"), None);
        assert_eq!(FileName::parse("+0000001-0000000000000002.segment"), None);
        assert_eq!(
            FileName::parse("00000001-0000000000000002-00000003.segment"),
            None
        );
        assert_eq!(
            FileName::parse("00000001-0000000000000002-00000003-00000004.index"),
            None
        );
    }
}
