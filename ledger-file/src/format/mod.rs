//! Bytes in, values out: what lies in the files, and no file calls.
