//! The file calls behind one small trait.
