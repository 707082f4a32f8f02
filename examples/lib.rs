//! Small programs, each of which teaches one thing.
