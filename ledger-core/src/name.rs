//! The name of a stream.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// The name of a stream: any non-empty UTF-8 up to the store's limit (512 bytes unless configured).
///
/// Cloning is cheap. Making one checks nothing, because the limit belongs to the store: an empty or overlong name is
/// refused by the first call that uses it.
///
/// ```
/// let name = ledger_core::StreamName::from("orders");
/// assert_eq!(name.as_str(), "orders");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(Arc<str>);

impl StreamName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<S: Into<Arc<str>>> From<S> for StreamName {
    fn from(name: S) -> Self {
        Self(name.into())
    }
}

impl Borrow<str> for StreamName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}
