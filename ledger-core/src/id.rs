//! What a store's entry ids must be able to do.

use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::str::FromStr;

/// The position of an entry in its stream.
///
/// Ids only have to be ordered and to survive a trip through text; any type that can do this is an `Id`.
/// The built-in stores all use `u64`: dense, from 1, in each stream.
pub trait Id:
    Copy + Ord + Hash + Debug + Display + FromStr + Send + Sync + Unpin + 'static
{
}

impl<I> Id for I where
    I: Copy + Ord + Hash + Debug + Display + FromStr + Send + Sync + Unpin + 'static
{
}
