//! Lists inside records, read item by item from the bytes: text pairs, tags, ids.
//!
//! Items strictly ascend, as they do in the maps and sets that they come from.

use std::collections::BTreeSet;

use ledger_core::TextMap;

use super::input::{Input, Malformed, put_prefixed};
use super::varint;

/// Encoded pairs of text: metadata or annotations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pairs<'a>(pub(crate) &'a [u8]);

impl<'a> Pairs<'a> {
    /// The bytes of `map`.
    pub(crate) fn encode(map: &TextMap) -> Vec<u8> {
        let mut buf = Vec::new();
        Self::put(&mut buf, map);
        buf
    }

    pub(crate) fn put(buf: &mut Vec<u8>, map: &TextMap) {
        for (key, value) in map {
            put_prefixed(buf, key.as_bytes());
            put_prefixed(buf, value.as_bytes());
        }
    }

    /// The pairs, by ascending key.
    pub(crate) fn iter(self) -> impl Iterator<Item = Result<(&'a str, &'a str), Malformed>> {
        let mut last = None;
        items(self.0, move |input| {
            let (key, value) = (input.text()?, input.text()?);
            ascend(&mut last, key)?;
            Ok((key, value))
        })
    }

    /// # Errors
    /// The bytes are no pairs.
    pub(crate) fn to_map(self) -> Result<TextMap, Malformed> {
        if self.0.is_empty() {
            return Ok(TextMap::new());
        }
        self.iter()
            .map(|pair| pair.map(|(key, value)| (key.to_owned(), value.to_owned())))
            .collect()
    }
}

/// Encoded tags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tags<'a>(pub(crate) &'a [u8]);

impl<'a> Tags<'a> {
    /// The bytes of `tags`.
    pub(crate) fn encode(tags: &BTreeSet<String>) -> Vec<u8> {
        let mut buf = Vec::new();
        Self::put(&mut buf, tags);
        buf
    }

    pub(crate) fn put(buf: &mut Vec<u8>, tags: &BTreeSet<String>) {
        for tag in tags {
            put_prefixed(buf, tag.as_bytes());
        }
    }

    /// The tags, ascending.
    pub(crate) fn iter(self) -> impl Iterator<Item = Result<&'a str, Malformed>> {
        let mut last = None;
        items(self.0, move |input| {
            let tag = input.text()?;
            ascend(&mut last, tag)?;
            Ok(tag)
        })
    }

    /// # Errors
    /// The bytes are no tags.
    pub(crate) fn to_set(self) -> Result<BTreeSet<String>, Malformed> {
        if self.0.is_empty() {
            return Ok(BTreeSet::new());
        }
        self.iter().map(|tag| tag.map(str::to_owned)).collect()
    }
}

/// Encoded ids, each as its distance from the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ids<'a>(pub(crate) &'a [u8]);

impl<'a> Ids<'a> {
    /// The bytes of `ids`, which must be greater than 0 and ascend.
    pub(crate) fn encode(ids: &[u64]) -> Vec<u8> {
        let mut buf = Vec::new();
        let mut last = 0;
        for &id in ids {
            debug_assert!(id > last, "ids ascend from 1");
            varint::put(&mut buf, id - last);
            last = id;
        }
        buf
    }

    /// The ids, ascending.
    pub(crate) fn iter(self) -> impl Iterator<Item = Result<u64, Malformed>> + 'a {
        let mut last = 0u64;
        items(self.0, move |input| {
            let distance = input.varint()?;
            last = last
                .checked_add(distance)
                .filter(|_| distance > 0)
                .ok_or(Malformed("ids do not ascend"))?;
            Ok(last)
        })
    }
}

/// Takes item after item; nothing follows the first that is malformed.
fn items<'a, T>(
    bytes: &'a [u8],
    mut take: impl FnMut(&mut Input<'a>) -> Result<T, Malformed>,
) -> impl Iterator<Item = Result<T, Malformed>> {
    let mut input = Input::new(bytes);
    std::iter::from_fn(move || {
        if input.is_empty() {
            return None;
        }
        let item = take(&mut input);
        if item.is_err() {
            input = Input::new(&[]);
        }
        Some(item)
    })
}

fn ascend<'a>(last: &mut Option<&'a str>, next: &'a str) -> Result<(), Malformed> {
    if *last >= Some(next) {
        return Err(Malformed("texts do not ascend"));
    }
    *last = Some(next);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lists_come_back(map: TextMap, tags: BTreeSet<String>, ids: BTreeSet<u64>) {
            prop_assert_eq!(Pairs(&Pairs::encode(&map)).to_map().unwrap(), map);
            prop_assert_eq!(Tags(&Tags::encode(&tags)).to_set().unwrap(), tags);
            let ids: Vec<u64> = ids.into_iter().filter(|id| *id > 0).collect();
            let bytes = Ids::encode(&ids);
            prop_assert_eq!(Ids(&bytes).iter().collect::<Result<Vec<_>, _>>().unwrap(), ids);
        }

        #[test]
        fn any_bytes_are_lists_or_errors(bytes: Vec<u8>) {
            if let Ok(map) = Pairs(&bytes).to_map() {
                prop_assert_eq!(Pairs::encode(&map), bytes.clone());
            }
            if let Ok(tags) = Tags(&bytes).to_set() {
                prop_assert_eq!(Tags::encode(&tags), bytes.clone());
            }
            if let Ok(ids) = Ids(&bytes).iter().collect::<Result<Vec<_>, _>>() {
                prop_assert_eq!(Ids::encode(&ids), bytes);
            }
        }
    }

    #[test]
    fn a_list_ends_behind_its_first_error() {
        assert_eq!(Ids(&[1, 0, 5]).iter().count(), 2);
        assert_eq!(Tags(&[1, b'b', 1, b'a', 1, b'c']).iter().count(), 2);
    }
}
