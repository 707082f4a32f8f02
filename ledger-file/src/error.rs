//! From what goes wrong below to what the contract says.
