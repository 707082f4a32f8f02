//! Reading field after field from bytes that may be anything.

use std::num::TryFromIntError;

use super::varint;

/// Bytes that are not what they should be: what is wrong with them, for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// For numbers that are larger than their place.
impl From<TryFromIntError> for Malformed {
    fn from(_: TryFromIntError) -> Self {
        Self("a number is too large")
    }
}

type Result<T> = std::result::Result<T, Malformed>;

/// Bytes of which fields are taken from the front.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What has not been taken yet.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// How many bytes have not been taken yet.
    pub(crate) fn len(self) -> usize {
        self.0.len()
    }

    /// Whether all bytes have been taken.
    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Takes `len` bytes.
    #[inline]
    pub(crate) fn bytes(&mut self, len: u64) -> Result<&'a [u8]> {
        let split = usize::try_from(len)
            .ok()
            .and_then(|len| self.0.split_at_checked(len));
        let (taken, rest) = split.ok_or(Malformed("the bytes end within a field"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// Takes `N` bytes.
    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self
            .0
            .split_first_chunk()
            .ok_or(Malformed("the bytes end within a field"))?;
        self.0 = rest;
        Ok(*taken)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64> {
        let (value, used) = varint::get(self.0)?;
        self.0 = &self.0[used..];
        Ok(value)
    }

    #[inline]
    pub(crate) fn signed(&mut self) -> Result<i64> {
        Ok(varint::unzigzag(self.varint()?))
    }

    /// Takes bytes that stand behind their length.
    #[inline]
    pub(crate) fn prefixed(&mut self) -> Result<&'a [u8]> {
        let len = self.varint()?;
        self.bytes(len)
    }

    /// Takes UTF-8 that stands behind its length.
    #[inline]
    pub(crate) fn text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.prefixed()?).map_err(|_| Malformed("text is not UTF-8"))
    }

    /// Refuses bytes that nobody has taken.
    pub(crate) fn end(self) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        Err(Malformed("there are bytes behind the last field"))
    }
}

/// Appends `bytes` behind their length.
#[inline]
pub(crate) fn put_prefixed(buf: &mut Vec<u8>, bytes: &[u8]) {
    varint::put(buf, bytes.len() as u64);
    buf.extend_from_slice(bytes);
}

/// Appends what `write` appends, behind its length.
///
/// One byte is left free for the length; what is longer than that is moved, which is rare.
#[inline]
pub(crate) fn put_measured(buf: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = buf.len();
    buf.push(0);
    write(buf);
    let len = buf.len() - start - 1;
    if len < 0x80 {
        buf[start] = len as u8;
    } else {
        widen(buf, start, len);
    }
}

#[cold]
fn widen(buf: &mut Vec<u8>, start: usize, len: usize) {
    let mut prefix = Vec::with_capacity(varint::VARINT_BYTES_MAX);
    varint::put(&mut prefix, len as u64);
    buf.splice(start..=start, prefix);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fields_come_back_in_their_order(a: Vec<u8>, b: String, c: i64, long in 0..70_000usize) {
            let mut buf = Vec::new();
            put_prefixed(&mut buf, &a);
            put_prefixed(&mut buf, b.as_bytes());
            varint::put_signed(&mut buf, c);
            put_measured(&mut buf, |buf| buf.resize(buf.len() + long, 7));
            buf.extend(5u64.to_le_bytes());
            let mut input = Input::new(&buf);
            prop_assert_eq!(input.prefixed().unwrap(), a);
            prop_assert_eq!(input.text().unwrap(), b);
            prop_assert_eq!(input.signed().unwrap(), c);
            prop_assert_eq!(input.prefixed().unwrap(), vec![7; long]);
            prop_assert_eq!(input.u64().unwrap(), 5);
            prop_assert_eq!(input.end(), Ok(()));
        }
    }

    #[test]
    fn a_length_beyond_the_bytes_is_refused() {
        let mut buf = Vec::new();
        varint::put(&mut buf, u64::MAX);
        buf.push(1);
        assert!(Input::new(&buf).prefixed().is_err());
        assert!(Input::new(&[1, 2, 3]).u32().is_err());
    }

    #[test]
    fn text_that_is_none_is_refused() {
        assert!(Input::new(&[1, 0xFF]).text().is_err());
    }
}
