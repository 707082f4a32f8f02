//! Writes BSON documents, byte after byte, into one buffer.
//!
//! The driver's own types take an allocation for every nested document; a batch written here takes one for all of it.

use mongodb::bson::spec::ElementType;
use mongodb::bson::{RawDocument, RawDocumentBuf};

/// A document in the making. What was opened is closed in reverse order, and [`finish`](Writer::finish) closes the
/// outermost.
#[derive(Debug)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
    /// Where the documents begin that are not yet closed.
    open: Vec<usize>,
}

impl Writer {
    /// Opens the outermost document, with room for `bytes`.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        let mut writer = Self {
            bytes: Vec::with_capacity(bytes),
            open: Vec::new(),
        };
        writer.begin();
        writer
    }

    /// How many bytes were written so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn i32(&mut self, key: &str, value: i32) {
        self.element(ElementType::Int32, key);
        self.bytes.extend(value.to_le_bytes());
    }

    pub(crate) fn i64(&mut self, key: &str, value: i64) {
        self.element(ElementType::Int64, key);
        self.bytes.extend(value.to_le_bytes());
    }

    pub(crate) fn f64(&mut self, key: &str, value: f64) {
        self.element(ElementType::Double, key);
        self.bytes.extend(value.to_le_bytes());
    }

    pub(crate) fn bool(&mut self, key: &str, value: bool) {
        self.element(ElementType::Boolean, key);
        self.bytes.push(u8::from(value));
    }

    pub(crate) fn null(&mut self, key: &str) {
        self.element(ElementType::Null, key);
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) {
        self.element(ElementType::String, key);
        self.length(value.len() + 1);
        self.bytes.extend(value.as_bytes());
        self.bytes.push(0);
    }

    pub(crate) fn binary(&mut self, key: &str, value: &[u8]) {
        self.element(ElementType::Binary, key);
        self.length(value.len());
        self.bytes.push(0);
        self.bytes.extend(value);
    }

    /// Puts in all elements of `document`.
    pub(crate) fn elements_of(&mut self, document: &RawDocument) {
        let bytes = document.as_bytes();
        self.bytes.extend(&bytes[4..bytes.len() - 1]);
    }

    /// Opens a document inside of the one that is open.
    pub(crate) fn open_document(&mut self, key: &str) {
        self.element(ElementType::EmbeddedDocument, key);
        self.begin();
    }

    /// Opens an array, whose elements have the keys 0, 1, 2 and so on.
    pub(crate) fn open_array(&mut self, key: &str) {
        self.element(ElementType::Array, key);
        self.begin();
    }

    /// Closes what was opened last.
    pub(crate) fn close(&mut self) {
        self.bytes.push(0);
        let start = self.open.pop().expect("every close has its open");
        let length = length_bytes(self.bytes.len() - start);
        self.bytes[start..start + 4].copy_from_slice(&length);
    }

    /// Closes the outermost document.
    pub(crate) fn finish(mut self) -> RawDocumentBuf {
        self.close();
        debug_assert!(self.open.is_empty(), "everything opened was closed");
        RawDocumentBuf::from_bytes(self.bytes).expect("the frame of the document is right")
    }

    fn begin(&mut self) {
        self.open.push(self.bytes.len());
        self.bytes.extend([0; 4]);
    }

    /// Keys hold no U+0000: they are names of this crate, or were looked at before.
    fn element(&mut self, kind: ElementType, key: &str) {
        debug_assert!(!key.contains('\0'), "a key ends at U+0000");
        self.bytes.push(kind as u8);
        self.bytes.extend(key.as_bytes());
        self.bytes.push(0);
    }

    fn length(&mut self, length: usize) {
        self.bytes.extend(length_bytes(length));
    }
}

/// The limits of a store keep everything far below 2 GiB.
fn length_bytes(length: usize) -> [u8; 4] {
    i32::try_from(length)
        .expect("documents are smaller than 2 GiB")
        .to_le_bytes()
}

#[cfg(test)]
mod tests {
    use mongodb::bson::spec::BinarySubtype;
    use mongodb::bson::{Binary, doc};

    use super::*;

    #[test]
    fn what_is_written_is_what_the_driver_reads() {
        let mut writer = Writer::with_capacity(0);
        writer.i32("int", 7);
        writer.i64("long", i64::MIN);
        writer.f64("double", f64::NEG_INFINITY);
        writer.bool("bool", true);
        writer.null("null");
        writer.text("text", "a\0ü");
        writer.binary("binary", &[0, 255]);
        writer.open_array("array");
        writer.open_document("0");
        writer.elements_of(&mongodb::bson::rawdoc! { "k": "v" });
        writer.close();
        writer.close();
        let binary = Binary {
            subtype: BinarySubtype::Generic,
            bytes: vec![0, 255],
        };
        let expected = doc! {
            "int": 7, "long": i64::MIN, "double": f64::NEG_INFINITY, "bool": true, "null": null, "text": "a\0ü",
            "binary": binary, "array": [{ "k": "v" }],
        };
        let written = mongodb::bson::Document::try_from(writer.finish()).unwrap();
        assert_eq!(written, expected);
    }
}
