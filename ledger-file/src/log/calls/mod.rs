//! The public calls of the log: what is asked for is checked here, and then handed on.

mod append;
mod change;
mod life;
mod read;

pub use self::append::Pending;
pub(crate) use self::append::{Decided, Receipts};
