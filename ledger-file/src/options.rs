//! How a log is opened: plain data, validated once.
