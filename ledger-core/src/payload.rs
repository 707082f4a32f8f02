//! An entry's bytes, and what they are encoded as.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

/// Says how a payload's bytes are encoded, as a media type: the name of the codec that wrote them.
///
/// Stored with every entry, so that reading with another codec is an error and never garbage.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ContentType(Cow<'static, str>);

impl ContentType {
    /// UTF-8 JSON text.
    pub const JSON: Self = Self::from_static("application/json");
    /// Bytes that no codec vouches for.
    pub const OCTET_STREAM: Self = Self::from_static("application/octet-stream");

    /// Names a content type without copying.
    pub const fn from_static(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// Makes a content type from text read back from a store; the well-known ones cost no allocation.
    pub fn from_stored(name: &str) -> Self {
        [Self::JSON, Self::OCTET_STREAM]
            .into_iter()
            .find(|known| known.as_str() == name)
            .unwrap_or_else(|| Self(Cow::Owned(name.to_owned())))
    }

    /// The content type as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for ContentType {
    fn from(name: String) -> Self {
        Self(Cow::Owned(name))
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
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
