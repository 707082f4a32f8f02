//! The name of a stream.

use std::borrow::Borrow;
use std::fmt;

use smol_str::SmolStr;

/// The name of a stream: any non-empty UTF-8 up to the store's limit (512 bytes unless configured).
///
/// Cloning is cheap: names of up to 23 bytes are copied, longer ones shared. Making one checks nothing, because the limit belongs to the store: an empty or overlong name is
/// refused by the first call that uses it.
///
/// ```
/// let name = ledger_core::StreamName::from("orders");
/// assert_eq!(name.as_str(), "orders");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(SmolStr);

impl StreamName {
    /// The name as text.
    #[inline]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<S: AsRef<str>> From<S> for StreamName {
    fn from(name: S) -> Self {
        Self(SmolStr::new(name))
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
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_name_of_any_length_is_its_text() {
        let texts: Vec<String> = (0..60).map(|length| "é".repeat(length)).collect();
        let names: Vec<StreamName> = texts.iter().map(StreamName::from).collect();
        assert!(names.iter().map(StreamName::as_str).eq(&texts));
        assert!(names.is_sorted() && names == names.clone());
        let map: HashMap<_, _> = names.into_iter().zip(0..).collect();
        assert!(
            (0..)
                .zip(&texts)
                .all(|(place, text)| map.get(text.as_str()) == Some(&place)),
            "a name is found by its text"
        );
    }
}
