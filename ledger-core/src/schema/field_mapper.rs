//! An upcaster for the common cases: fields that were renamed, added, removed.

use serde_json::{Map, Value};

use super::Upcaster;
use crate::error::BoxError;

/// An upcaster made of changes to fields, applied in the order in which they were added.
///
/// A field is named plainly (`"price"`), or by a JSON Pointer from the root of the value if it lies deeper
/// (`"/customer/name"`, RFC 6901). A change whose surrounding object is not there does nothing, so that one mapper
/// serves all variants of an enum: `"/Placed/price"` leaves a `Paid` event alone.
///
/// ```
/// use ledger_core::{FieldMapper, Upcaster};
/// use serde_json::json;
/// let mapper = FieldMapper::new()
///     .rename("customer_name", "/customer/name")
///     .default("currency", json!("EUR"))
///     .remove("debug");
/// let new = mapper.upcast(json!({"customer_name": "Ann", "debug": true}))?;
/// assert_eq!(new, json!({"customer": {"name": "Ann"}, "currency": "EUR"}));
/// # Ok::<(), ledger_core::BoxError>(())
/// ```
pub struct FieldMapper {
    changes: Vec<Change>,
}

enum Change {
    Rename(Path, Path),
    Default(Path, Value),
    Set(Path, Value),
    Remove(Path),
    Map(Path, Box<MapValue>),
}

type MapValue = dyn Fn(Value) -> Result<Value, BoxError> + Send + Sync;

impl FieldMapper {
    /// Makes a mapper that changes nothing: right for a version that only added optional fields.
    pub fn new() -> Self {
        Self {
            changes: Vec::new(),
        }
    }

    /// Moves a field to another name or into, or out of, another object, which is made if it is not there. An absent
    /// field stays absent; a field that is in the way is an error, for its value would be lost.
    pub fn rename(self, from: &str, to: &str) -> Self {
        self.with(Change::Rename(Path::new(from), Path::new(to)))
    }

    /// Sets a field if it is absent; null counts as there.
    pub fn default(self, field: &str, value: impl Into<Value>) -> Self {
        self.with(Change::Default(Path::new(field), value.into()))
    }

    /// Sets a field, whether or not it is there.
    pub fn set(self, field: &str, value: impl Into<Value>) -> Self {
        self.with(Change::Set(Path::new(field), value.into()))
    }

    /// Removes a field if it is there.
    pub fn remove(self, field: &str) -> Self {
        self.with(Change::Remove(Path::new(field)))
    }

    /// Replaces a field's value, if it is there, by what `f` makes of it.
    pub fn map<E: Into<BoxError>>(
        self,
        field: &str,
        f: impl Fn(Value) -> Result<Value, E> + Send + Sync + 'static,
    ) -> Self {
        self.with(Change::Map(
            Path::new(field),
            Box::new(move |value| f(value).map_err(Into::into)),
        ))
    }

    fn with(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }
}

impl Default for FieldMapper {
    fn default() -> Self {
        Self::new()
    }
}

impl Upcaster for FieldMapper {
    fn upcast(&self, mut value: Value) -> Result<Value, BoxError> {
        if !value.is_object() {
            return Err("a field mapper needs an object".into());
        }
        for change in &self.changes {
            change.apply(&mut value)?;
        }
        Ok(value)
    }
}

impl Change {
    fn apply(&self, root: &mut Value) -> Result<(), BoxError> {
        match self {
            Self::Rename(from, to) => return rename(root, from, to),
            Self::Default(path, value) => {
                if let Some(object) = path.parent_in(root) {
                    object
                        .entry(path.field.clone())
                        .or_insert_with(|| value.clone());
                }
            }
            Self::Set(path, value) => {
                if let Some(object) = path.parent_in(root) {
                    object.insert(path.field.clone(), value.clone());
                }
            }
            Self::Remove(path) => {
                path.take_from(root);
            }
            Self::Map(path, f) => {
                if let Some(value) = path
                    .parent_in(root)
                    .and_then(|object| object.get_mut(&path.field))
                {
                    *value = f(value.take())?;
                }
            }
        }
        Ok(())
    }
}

fn rename(root: &mut Value, from: &Path, to: &Path) -> Result<(), BoxError> {
    let Some(value) = from.take_from(root) else {
        return Ok(());
    };
    let object = to
        .parent_made_in(root)
        .ok_or_else(|| format!("field {:?} lies in no object", to.field))?;
    match object.insert(to.field.clone(), value) {
        None => Ok(()),
        Some(_in_the_way) => Err(format!("field {:?} is there already", to.field).into()),
    }
}

/// A field and the objects that lead to it from the root.
struct Path {
    objects: Vec<String>,
    field: String,
}

impl Path {
    fn new(text: &str) -> Self {
        let Some(pointer) = text.strip_prefix('/') else {
            return Self {
                objects: Vec::new(),
                field: text.to_owned(),
            };
        };
        let mut objects: Vec<String> = pointer
            .split('/')
            .map(|token| token.replace("~1", "/").replace("~0", "~"))
            .collect();
        let field = objects.pop().expect("splitting gives at least one token");
        Self { objects, field }
    }

    fn parent_in<'a>(&self, root: &'a mut Value) -> Option<&'a mut Map<String, Value>> {
        self.objects
            .iter()
            .try_fold(root, |value, name| value.as_object_mut()?.get_mut(name))?
            .as_object_mut()
    }

    fn parent_made_in<'a>(&self, root: &'a mut Value) -> Option<&'a mut Map<String, Value>> {
        let made = self.objects.iter().try_fold(root, |value, name| {
            Some(
                value
                    .as_object_mut()?
                    .entry(name.clone())
                    .or_insert_with(|| Map::new().into()),
            )
        });
        made?.as_object_mut()
    }

    fn take_from(&self, root: &mut Value) -> Option<Value> {
        self.parent_in(root)?.remove(&self.field)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_move_into_and_out_of_objects() {
        let mapper = FieldMapper::new()
            .rename("name", "/customer/name")
            .rename("/address/city", "city");
        let new = mapper
            .upcast(json!({"name": "Ann", "address": {"city": "Bonn", "zip": 1}}))
            .unwrap();
        assert_eq!(
            new,
            json!({"customer": {"name": "Ann"}, "address": {"zip": 1}, "city": "Bonn"})
        );
    }

    #[test]
    fn an_absent_field_stays_absent_when_renamed() {
        let new = FieldMapper::new()
            .rename("a", "/b/c")
            .upcast(json!({"x": 1}))
            .unwrap();
        assert_eq!(new, json!({"x": 1}));
    }

    #[test]
    fn a_rename_never_overwrites() {
        let error = FieldMapper::new()
            .rename("a", "b")
            .upcast(json!({"a": 1, "b": 2}))
            .unwrap_err();
        assert_eq!(error.to_string(), r#"field "b" is there already"#);
    }

    #[test]
    fn a_default_fills_only_what_is_absent_and_null_is_there() {
        let mapper = FieldMapper::new()
            .default("a", 1)
            .default("b", 1)
            .default("c", 1);
        let new = mapper.upcast(json!({"a": 7, "b": null})).unwrap();
        assert_eq!(new, json!({"a": 7, "b": null, "c": 1}));
    }

    #[test]
    fn set_remove_and_map_change_what_is_there() {
        let mapper = FieldMapper::new()
            .set("currency", "EUR")
            .remove("debug")
            .map("cents", |cents| {
                Ok::<_, BoxError>(json!(cents.as_u64().ok_or("no integer")? * 10))
            });
        let new = mapper
            .upcast(json!({"currency": "USD", "debug": {}, "cents": 900_719_925_474_099_u64}))
            .unwrap();
        assert_eq!(
            new,
            json!({"currency": "EUR", "cents": 9_007_199_254_740_990_u64})
        );
    }

    #[test]
    fn a_variant_that_is_not_there_is_left_alone() {
        let mapper = FieldMapper::new()
            .set("/Placed/price", 1)
            .default("/Placed/tax", 1)
            .remove("/Placed/x");
        assert_eq!(
            mapper.upcast(json!({"Paid": {}})).unwrap(),
            json!({"Paid": {}})
        );
    }

    #[test]
    fn pointers_escape_slashes_and_tildes() {
        let new = FieldMapper::new()
            .rename("/a~1b/c~0d", "e")
            .upcast(json!({"a/b": {"c~d": 1}}))
            .unwrap();
        assert_eq!(new, json!({"a/b": {}, "e": 1}));
    }

    #[test]
    fn a_value_that_is_no_object_is_an_error() {
        assert!(FieldMapper::new().upcast(json!([1])).is_err());
    }
}
