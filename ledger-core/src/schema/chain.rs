//! The checked chain of upcasters of one stream.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde_json::Value;

use super::Upcaster;
use crate::codec::TreeCodec;
use crate::error::{BoxError, Error};
use crate::name::StreamName;

/// The schema version that a stream writes, and the steps from the older ones.
pub(crate) struct Chain {
    version: u32,
    steps: BTreeMap<u32, Steps>,
    /// The first step that was given twice; told by `check`.
    ambiguous: Option<u32>,
}

/// The ways on from one version.
#[derive(Default)]
struct Steps {
    for_any: Option<Step>,
    for_kind: BTreeMap<String, Step>,
}

/// One way on.
pub(crate) enum Step {
    Tree(Box<dyn Upcaster>),
    Bytes(Box<BytesUpcaster>),
}

type BytesUpcaster = dyn Fn(Bytes) -> Result<Bytes, BoxError> + Send + Sync;

/// A value on its way, in the form that the last step left it in.
enum Form<'a> {
    Bytes(Cow<'a, Bytes>),
    Tree(Value),
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            version: 1,
            steps: BTreeMap::new(),
            ambiguous: None,
        }
    }
}

impl Chain {
    pub(crate) fn version(&self) -> u32 {
        self.version
    }

    pub(crate) fn set_version(&mut self, version: u32) {
        self.version = version;
    }

    /// Adds the step on from version `from`, for entries of one kind, or for those that have no step of their own.
    pub(crate) fn add(&mut self, from: u32, kind: Option<String>, step: Step) {
        let steps = self.steps.entry(from).or_default();
        let replaced = match kind {
            Some(kind) => steps.for_kind.insert(kind, step),
            None => steps.for_any.replace(step),
        };
        if replaced.is_some() {
            self.ambiguous = self.ambiguous.or(Some(from));
        }
    }

    /// Checks that exactly one way leads from each older version to the next.
    pub(crate) fn check(
        &self,
        stream: &StreamName,
        tree: Option<&dyn TreeCodec>,
    ) -> Result<(), Error> {
        match self.fault(tree.is_some()) {
            Some(reason) => Err(Error::UpcasterChain {
                stream: stream.clone(),
                reason,
            }),
            None => Ok(()),
        }
    }

    fn fault(&self, has_tree: bool) -> Option<String> {
        if self.version == 0 {
            return Some("schema versions start at 1".into());
        }
        if let Some(from) = self.ambiguous {
            return Some(format!("there are two steps from version {from}"));
        }
        if let Some(missing) = (1..self.version).find(|from| !self.steps.contains_key(from)) {
            return Some(format!("there is no step from version {missing}"));
        }
        if let Some(beyond) = self
            .steps
            .keys()
            .find(|from| !(1..self.version).contains(from))
        {
            return Some(format!(
                "a step from version {beyond} leads nowhere: the stream writes {}",
                self.version
            ));
        }
        let on_trees = || {
            self.steps
                .values()
                .flat_map(Steps::all)
                .any(|step| matches!(step, Step::Tree(_)))
        };
        (!has_tree && on_trees()).then(|| "the codec has no tree for upcasters to work on".into())
    }

    /// Leads `bytes` from version `from` to the stream's. An error tells the version whose step failed.
    pub(crate) fn upcast(
        &self,
        tree: Option<&dyn TreeCodec>,
        bytes: &Bytes,
        kind: Option<&str>,
        from: u32,
    ) -> Result<Bytes, (u32, BoxError)> {
        let mut form = Form::Bytes(Cow::Borrowed(bytes));
        for (version, steps) in self.steps.range(from..) {
            if let Some(step) = steps.choose(kind) {
                form = step.apply(tree, form).map_err(|error| (*version, error))?;
            }
        }
        form.into_bytes(tree).map_err(|error| (self.version, error))
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chain(version {})", self.version)
    }
}

impl Steps {
    fn choose(&self, kind: Option<&str>) -> Option<&Step> {
        kind.and_then(|kind| self.for_kind.get(kind))
            .or(self.for_any.as_ref())
    }

    fn all(&self) -> impl Iterator<Item = &Step> {
        self.for_kind.values().chain(&self.for_any)
    }
}

impl Step {
    fn apply<'a>(
        &self,
        tree: Option<&dyn TreeCodec>,
        form: Form<'a>,
    ) -> Result<Form<'a>, BoxError> {
        match self {
            Self::Tree(upcaster) => Ok(Form::Tree(upcaster.upcast(form.into_tree(tree)?)?)),
            Self::Bytes(upcaster) => Ok(Form::Bytes(Cow::Owned(upcaster(form.into_bytes(tree)?)?))),
        }
    }
}

impl Form<'_> {
    fn into_tree(self, codec: Option<&dyn TreeCodec>) -> Result<Value, BoxError> {
        match self {
            Self::Bytes(bytes) => has_tree(codec).decode_tree(&bytes),
            Self::Tree(tree) => Ok(tree),
        }
    }

    fn into_bytes(self, codec: Option<&dyn TreeCodec>) -> Result<Bytes, BoxError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.into_owned()),
            Self::Tree(tree) => has_tree(codec).encode_tree(&tree),
        }
    }
}

fn has_tree(codec: Option<&dyn TreeCodec>) -> &dyn TreeCodec {
    codec.expect("a chain with steps on trees is built only for a codec that has them")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::codec::Json;

    fn step(name: &'static str) -> Step {
        Step::Tree(Box::new(move |mut value: Value| {
            value["steps"]
                .as_array_mut()
                .ok_or("no steps")?
                .push(json!(name));
            Ok::<_, BoxError>(value)
        }))
    }

    fn chain(version: u32, steps: &[(u32, Option<&str>, &'static str)]) -> Chain {
        let mut chain = Chain::default();
        chain.set_version(version);
        for (from, kind, name) in steps {
            chain.add(*from, kind.map(str::to_owned), step(name));
        }
        chain
    }

    fn reason(chain: &Chain) -> String {
        match chain.check(&"s".into(), Some(&Json)) {
            Err(Error::UpcasterChain { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }

    fn upcast(chain: &Chain, kind: Option<&str>, from: u32) -> String {
        let bytes = chain
            .upcast(
                Some(&Json),
                &Bytes::from_static(br#"{"steps":[]}"#),
                kind,
                from,
            )
            .unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn steps_run_in_order_from_the_version_of_the_entry() {
        let chain = chain(3, &[(2, None, "two"), (1, None, "one")]);
        chain.check(&"s".into(), Some(&Json)).unwrap();
        assert_eq!(upcast(&chain, None, 1), r#"{"steps":["one","two"]}"#);
        assert_eq!(upcast(&chain, None, 2), r#"{"steps":["two"]}"#);
    }

    #[test]
    fn a_step_for_the_kind_beats_the_step_for_any() {
        let chain = chain(2, &[(1, None, "any"), (1, Some("Paid"), "paid")]);
        assert_eq!(upcast(&chain, Some("Paid"), 1), r#"{"steps":["paid"]}"#);
        assert_eq!(upcast(&chain, Some("Placed"), 1), r#"{"steps":["any"]}"#);
        assert_eq!(upcast(&chain, None, 1), r#"{"steps":["any"]}"#);
    }

    #[test]
    fn kinds_without_a_step_pass_unchanged() {
        let chain = chain(2, &[(1, Some("Paid"), "paid")]);
        chain.check(&"s".into(), Some(&Json)).unwrap();
        assert_eq!(upcast(&chain, Some("Placed"), 1), r#"{"steps":[]}"#);
    }

    #[test]
    fn missing_ambiguous_and_dangling_steps_are_found_when_the_chain_is_checked() {
        assert_eq!(
            reason(&chain(3, &[(1, None, "a")])),
            "there is no step from version 2"
        );
        assert_eq!(
            reason(&chain(2, &[(1, None, "a"), (1, None, "b")])),
            "there are two steps from version 1"
        );
        assert_eq!(
            reason(&chain(2, &[(1, None, "a"), (2, None, "b")])),
            "a step from version 2 leads nowhere: the stream writes 2"
        );
        assert_eq!(reason(&chain(0, &[])), "schema versions start at 1");
    }

    #[test]
    fn a_codec_without_trees_takes_steps_on_bytes_only() {
        assert!(
            chain(2, &[(1, None, "a")])
                .check(&"s".into(), None)
                .is_err()
        );
        let mut on_bytes = Chain::default();
        on_bytes.set_version(2);
        on_bytes.add(
            1,
            None,
            Step::Bytes(Box::new(|bytes| Ok([&bytes[..], b"!"].concat().into()))),
        );
        on_bytes.check(&"s".into(), None).unwrap();
        assert_eq!(
            on_bytes
                .upcast(None, &Bytes::from_static(b"a"), None, 1)
                .unwrap(),
            "a!"
        );
    }

    #[test]
    fn a_failed_step_tells_its_version() {
        let chain = chain(3, &[(1, None, "one"), (2, None, "two")]);
        let (version, error) = chain
            .upcast(Some(&Json), &Bytes::from_static(b"{}"), None, 2)
            .unwrap_err();
        assert_eq!((version, error.to_string().as_str()), (2, "no steps"));
    }
}
