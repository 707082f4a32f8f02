//! An entry's bytes, and what they are encoded as.

use std::fmt;
use std::hash::{Hash, Hasher};

use bytes::Bytes;

/// Says how a payload's bytes are encoded, as a media type: the name of the codec that wrote them.
///
/// Stored with every entry, so that reading with another codec is an error and never garbage.
#[derive(Clone)]
pub struct ContentType(Name);

/// The name of a codec. Two of them are so common that their names are not even compared.
#[derive(Clone)]
enum Name {
    Json,
    OctetStream,
    Static(&'static str),
    Owned(Box<str>),
}

const JSON: &str = "application/json";
const OCTET_STREAM: &str = "application/octet-stream";

impl ContentType {
    /// UTF-8 JSON text.
    pub const JSON: Self = Self(Name::Json);
    /// Bytes that no codec vouches for.
    pub const OCTET_STREAM: Self = Self(Name::OctetStream);

    /// Names a content type without copying.
    pub const fn from_static(name: &'static str) -> Self {
        Self(Name::Static(name))
    }

    /// Makes a content type from text read back from a store; the well-known ones cost no allocation.
    #[inline]
    pub fn from_stored(name: &str) -> Self {
        match name {
            JSON => Self::JSON,
            OCTET_STREAM => Self::OCTET_STREAM,
            other => Self(Name::Owned(other.into())),
        }
    }

    /// The content type as text.
    #[inline]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Name::Json => JSON,
            Name::OctetStream => OCTET_STREAM,
            Name::Static(name) => name,
            Name::Owned(name) => name,
        }
    }
}

impl PartialEq for ContentType {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Name::Json, Name::Json) | (Name::OctetStream, Name::OctetStream) => true,
            _ => self.as_str() == other.as_str(),
        }
    }
}

impl Eq for ContentType {}

impl Hash for ContentType {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl From<String> for ContentType {
    fn from(name: String) -> Self {
        Self(Name::Owned(name.into()))
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// An entry's bytes with their content type: what a store keeps, and what a codec makes and reads.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    /// The bytes, which come back exactly as written.
    pub bytes: Bytes,
    /// How they are encoded.
    pub content_type: ContentType,
}

impl Payload {
    /// Puts bytes and content type together.
    pub fn new(bytes: impl Into<Bytes>, content_type: ContentType) -> Self {
        Self {
            bytes: bytes.into(),
            content_type,
        }
    }

    /// Bytes that are JSON text already.
    pub fn json(text: impl Into<Bytes>) -> Self {
        Self::new(text, ContentType::JSON)
    }

    /// Bytes that no codec vouches for.
    pub fn octets(bytes: impl Into<Bytes>) -> Self {
        Self::new(bytes, ContentType::OCTET_STREAM)
    }
}

/// Shows type and size, not the bytes: payloads may be large, and may be secret.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Payload({}, {} bytes)",
            self.content_type,
            self.bytes.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use super::*;

    #[test]
    fn content_types_are_the_same_if_their_names_are_however_they_were_made() {
        let hasher = RandomState::new();
        for name in [JSON, OCTET_STREAM, "application/x-own", ""] {
            let made = [
                ContentType::from_static(name),
                ContentType::from_stored(name),
                name.to_owned().into(),
            ];
            for one in &made {
                assert_eq!(one.as_str(), name);
                assert_eq!(*one, made[0]);
                assert_eq!(hasher.hash_one(one), hasher.hash_one(&made[0]));
                assert_eq!(*one == ContentType::JSON, name == JSON);
            }
        }
    }
}
